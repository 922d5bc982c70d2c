"""BigQuery's methods on jobs, in the emulator's process: insert, query, get, list, cancel, results, uploads."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from bqemulator.api.dependencies import AppContext, get_caller
from bqemulator.api.routes.datasets import list_datasets
from bqemulator.api.routes.tables import get_table
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import (
    AlreadyExistsError,
    DomainError,
    InvalidQueryError,
    NotFoundError,
    UnsupportedFeatureError,
    ValidationError,
)
from bqemulator.jobs.executor import execute_copy_job
from bqemulator.row_access.identity import CallerIdentity
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import queries, transfers
from .tables import TableName, refresh

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(?:(\d{1,18})|\*)")
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_PAGE_ROWS = 10_000
_MOST_ROWS = 100_000
_KINDS = ("query", "load", "extract", "copy")
_QUERY_FIELDS = (
    "query",
    "defaultDataset",
    "maximumBytesBilled",
    "queryParameters",
    "parameterMode",
    "useLegacySql",
    "useQueryCache",
)
_HTTP_STATUS = {"notFound": 404, "duplicate": 409, "accessDenied": 403, "notImplemented": 501, "internalError": 500}
# Where a job keeps what its resource does not show.
_OWN = "seatrial"
_logger = logging.getLogger(__name__)


def routes(context: AppContext, buckets: Path, uploads: Path) -> list[Route]:
    """The routes, which come before those of the published emulator.

    Args:
        context: The emulator.
        buckets: The folder of the buckets of Cloud Storage.
        uploads: A folder for what is being uploaded.
    """
    uploads.mkdir(parents=True, exist_ok=True)
    for left in uploads.iterdir():
        left.unlink()
    jobs = Jobs(context, buckets, uploads)
    project = "/bigquery/v2/projects/{project}"
    upload = "/upload/bigquery/v2/projects/{project}/jobs"
    return [
        Route(f"{project}/jobs", jobs.insert, methods=["POST"]),
        Route(f"{project}/jobs", jobs.list, methods=["GET"]),
        Route(f"{project}/jobs/{{job}}", jobs.get, methods=["GET"]),
        Route(f"{project}/jobs/{{job}}/cancel", jobs.cancel, methods=["POST"]),
        Route(f"{project}/queries", jobs.query, methods=["POST"]),
        Route(f"{project}/queries/{{job}}", jobs.results, methods=["GET"]),
        Route(f"{project}/datasets", jobs.datasets, methods=["GET"]),
        Route(f"{project}/datasets/{{dataset}}/tables/{{table}}", jobs.table, methods=["GET"]),
        Route(upload, jobs.upload, methods=["POST"]),
        Route(upload, jobs.resume, methods=["PUT"]),
    ]


class Jobs:
    """The methods. A job has ended when its insertion is answered.

    Args:
        context: The emulator.
        buckets: The folder of the buckets of Cloud Storage.
        uploads: A folder for what is being uploaded.
    """

    def __init__(self, context: AppContext, buckets: Path, uploads: Path) -> None:
        self._context, self._buckets, self._uploads = context, buckets, uploads
        self._sessions: dict[str, dict[str, Any]] = {}

    async def insert(self, request: Request) -> Response:
        """`jobs.insert` without an upload."""
        return await self._insert(request, await _document(request), None)

    async def query(self, request: Request) -> Response:
        """`jobs.query`: inserts a query job and answers with its first rows, or with its error."""
        document = await _document(request)
        project = request.path_params["project"]
        configuration = {"query": {name: document[name] for name in _QUERY_FIELDS if name in document}}
        configuration.update({name: document[name] for name in ("labels", "dryRun") if name in document})
        reference = {"location": document.get("location")}
        job = await self._run(project, {"configuration": configuration, "jobReference": reference}, get_caller(request))
        answer = self._page(job, 0, document.get("maxResults"))
        statistics = job.statistics["query"]
        shown = ("statementType", "numDmlAffectedRows", "ddlOperationPerformed", "totalBytesBilled")
        answer.update({name: statistics[name] for name in shown if name in statistics})
        return JSONResponse({**answer, "kind": "bigquery#queryResponse"})

    async def get(self, request: Request) -> Response:
        """`jobs.get`."""
        return JSONResponse(_resource(self._find(request), request))

    async def list(self, request: Request) -> Response:
        """`jobs.list`: the newest first, all in one page; the statements of a script are no jobs here."""
        query = request.query_params
        states = {state.upper() for state in query.getlist("stateFilter")} or {"DONE"}
        found: Sequence[JobMeta] = ()
        if "DONE" in states and "parentJobId" not in query:
            maximum = _integer(query.get("maxResults", 1000))
            found = self._context.catalog.list_jobs(request.path_params["project"], max_results=maximum)
        jobs = [{**_resource(job, request), "state": "DONE"} for job in found]
        return JSONResponse({"kind": "bigquery#jobList", "jobs": jobs})

    async def cancel(self, request: Request) -> Response:
        """`jobs.cancel`, which finds the job ended."""
        job = _resource(self._find(request), request)
        return JSONResponse({"kind": "bigquery#jobCancelResponse", "job": job})

    async def results(self, request: Request) -> Response:
        """`jobs.getQueryResults`."""
        query = request.query_params
        start = _integer(query.get("pageToken") or query.get("startIndex") or 0)
        return JSONResponse(self._page(self._find(request), start, query.get("maxResults")))

    async def datasets(self, request: Request) -> Response:
        """`datasets.list`, without hidden ones unless they are asked for."""
        answer = list_datasets(request.path_params["project"], self._context, maxResults=10**9)
        if request.query_params.get("all") != "true":
            shown = [item for item in answer["datasets"] if not item["datasetReference"]["datasetId"].startswith("_")]
            answer = {**answer, "datasets": shown, "totalItems": len(shown)}
        return JSONResponse(answer)

    async def table(self, request: Request) -> Response:
        """`tables.get`, with the size that the table has by now."""
        name = TableName(*(request.path_params[part] for part in ("project", "dataset", "table")))
        refresh(self._context, name)
        return JSONResponse(get_table(name.project, name.dataset, name.table, self._context))

    async def upload(self, request: Request) -> Response:
        """`jobs.insert` with a file: as two parts of one request, or as the start of a resumable upload."""
        body = await request.body()
        path = self._uploads / uuid4().hex
        match request.query_params.get("uploadType"):
            case "multipart":
                document, content = _parts(body, request.headers.get("content-type", ""))
                path.write_bytes(content)
                return await self._insert(request, document, path)
            case "resumable":
                self._sessions[path.name] = _parsed(body)
                path.touch()
                url = f"https://{request.url.hostname}{request.url.path}?uploadType=resumable&upload_id={path.name}"
                return Response(headers={"Location": url, "X-GUploader-UploadID": path.name})
        raise ValidationError("Invalid value for uploadType: expected multipart or resumable.")

    async def resume(self, request: Request) -> Response:
        """A chunk of a resumable upload; the last one runs the job."""
        upload = request.query_params.get("upload_id", "")
        if upload not in self._sessions:
            raise NotFoundError(f"No such upload: {upload!r}. It ended, or it never began.")
        path = self._uploads / upload
        match = _CONTENT_RANGE.fullmatch(request.headers.get("content-range", "bytes 0-0/*"))
        if match is None:
            raise ValidationError("Invalid Content-Range: expected bytes FIRST-LAST/TOTAL, * standing for unknown.")
        first, total = match.groups()
        if first is not None:
            with path.open("r+b") as file:  # a chunk that is sent again is written again
                file.seek(int(first))
                file.write(await request.body())
                file.truncate()
        size = path.stat().st_size
        if request.headers.get("content-range") and (total is None or size < int(total)):
            return Response(status_code=308, headers={"Range": f"bytes=0-{size - 1}"} if size else {})
        return await self._insert(request, self._sessions.pop(upload), path)

    async def _insert(self, request: Request, document: dict[str, Any], upload: Path | None) -> Response:
        try:
            job = await self._run(request.path_params["project"], document, get_caller(request), upload)
        finally:
            if upload is not None:
                upload.unlink()
        return JSONResponse(_resource(job, request))

    async def _run(
        self, project: str, document: dict[str, Any], caller: CallerIdentity, upload: Path | None = None
    ) -> JobMeta:
        """Runs a job to its end; what goes wrong is its error.

        Raises:
            DomainError: If it is no job, or was only to be tried.
        """
        configuration = document.get("configuration") or {}
        kinds = [kind for kind in _KINDS if isinstance(configuration.get(kind), dict)]
        if len(kinds) != 1:
            raise ValidationError("Required parameter is missing: one of query, load, extract, copy.")
        reference = document.get("jobReference") or {}
        job_id = reference.get("jobId") or f"job_{uuid4().hex}"
        location = reference.get("location") or "US"
        if not _JOB_ID.fullmatch(job_id):
            raise ValidationError(f"Invalid job id {job_id!r}: expected letters, digits, _ and -.")
        if self._context.catalog.get_job(project, job_id) is not None:
            raise AlreadyExistsError(f"Already Exists: Job {project}:{location}.{job_id}")
        started = self._context.clock.now()
        error = None
        statistics: dict[str, Any] = {}
        try:
            statistics = await self._execute(project, job_id, kinds[0], configuration, caller, upload)
        except Exception as raised:
            failure = raised if isinstance(raised, DomainError) else _unexpected(raised)
            if configuration.get("dryRun"):
                raise failure from None
            error = failure.to_bigquery_error()["error"]["errors"][0]
            error = {name: error[name] for name in ("reason", "message", "location") if error.get(name)}
        own = {**statistics.pop(_OWN, {}), "location": location}
        job = JobMeta(
            project_id=project,
            job_id=job_id,
            job_type=kinds[0].upper(),  # type: ignore[arg-type]
            state="DONE",
            configuration={**configuration, "jobType": kinds[0].upper()},
            statistics={**statistics, _OWN: own},
            error_result=error,
            creation_time=started,
            start_time=started,
            end_time=self._context.clock.now(),
            etag=generate_etag(project, job_id, str(started)),
        )
        return job if configuration.get("dryRun") else self._context.catalog.upsert_job(job)

    async def _execute(
        self,
        project: str,
        job_id: str,
        kind: str,
        configuration: dict[str, Any],
        caller: CallerIdentity,
        upload: Path | None,
    ) -> dict[str, Any]:
        dry = bool(configuration.get("dryRun"))
        if kind == "query":
            result = await queries.run(self._context, project, job_id, configuration["query"], caller, dry=dry)
            if result.destination is not None:
                configuration["query"]["destinationTable"] = result.destination.reference
            total = {"totalBytesProcessed": result.statistics["totalBytesProcessed"]}
            own = {"rows": result.rows, "fields": result.fields}
            return {"query": result.statistics, **total, _OWN: own}
        if dry:
            raise UnsupportedFeatureError(f"A dry run of a {kind} job is not emulated.")
        if kind == "load":
            return {"load": transfers.load(self._context, project, configuration["load"], self._buckets, upload)}
        if kind == "extract":
            return {"extract": transfers.extract(self._context, project, configuration["extract"], self._buckets)}
        done = await execute_copy_job(project, job_id, configuration, self._context)
        return done.statistics

    def _find(self, request: Request) -> JobMeta:
        project, job_id = request.path_params["project"], request.path_params["job"]
        job = self._context.catalog.get_job(project, job_id)
        if job is None:
            location = request.query_params.get("location", "US")
            raise NotFoundError(f"Not found: Job {project}:{location}.{job_id}")
        return job

    def _page(self, job: JobMeta, start: int, maximum: Any) -> dict[str, Any]:
        """A page of a query's rows.

        Raises:
            DomainError: The error of the job, if it failed.
        """
        if job.error_result is not None:
            raise _failure(job.error_result)
        if job.job_type != "QUERY":
            raise ValidationError(f"Job {job.job_id} is not a query job.")
        own = job.statistics[_OWN]
        count = min(_integer(maximum) if maximum is not None else _PAGE_ROWS, _MOST_ROWS)
        rows: list[dict[str, Any]] = []
        if own["fields"] and count and start < own["rows"]:
            name = TableName.of(job.configuration["query"]["destinationTable"], job.project_id)
            rows = queries.page(self._context, name, start, count)
        answer = {
            "kind": "bigquery#getQueryResultsResponse",
            "etag": job.etag,
            "jobReference": _reference(job),
            "jobComplete": True,
            "schema": {"fields": own["fields"]},
            "totalRows": str(own["rows"]),
            "totalBytesProcessed": job.statistics["query"]["totalBytesProcessed"],
            "cacheHit": False,
        }
        if count:  # a client that asked for no rows takes an empty list for a page
            answer["rows"] = rows
        if affected := job.statistics["query"].get("numDmlAffectedRows"):
            answer["numDmlAffectedRows"] = affected
        if start + len(rows) < own["rows"] and count:
            answer["pageToken"] = str(start + len(rows))
        return answer


def _integer(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise ValidationError(f"Invalid value {value!r}: expected a number that is not negative.")
    return number


def _unexpected(error: Exception) -> DomainError:
    """What the emulator cannot do, as an error that clients do not try again, as they would an internal one."""
    _logger.error("The emulator failed.", exc_info=error)
    return InvalidQueryError(f"The emulator of BigQuery cannot do this: {type(error).__name__}: {error}")


def _failure(result: dict[str, Any]) -> DomainError:
    """The error of a job as that of a call."""
    failure = ValidationError(result["message"], location=result.get("location"))
    failure.bq_reason = result["reason"]  # type: ignore[misc]
    failure.http_status = _HTTP_STATUS.get(result["reason"], 400)  # type: ignore[misc]
    return failure


def _reference(job: JobMeta) -> dict[str, str]:
    return {"projectId": job.project_id, "jobId": job.job_id, "location": job.statistics[_OWN]["location"]}


def _resource(job: JobMeta, request: Request) -> dict[str, Any]:
    """A `Job`. Its link leads to the host that was asked: Google's pipeline components want it so."""
    reference = _reference(job)
    times = {"creationTime": job.creation_time, "startTime": job.start_time, "endTime": job.end_time}
    statistics = {name: value for name, value in job.statistics.items() if name != _OWN}
    statistics.update({name: str(int(time.timestamp() * 1000)) for name, time in times.items() if time is not None})
    status: dict[str, Any] = {"state": job.state}
    if job.error_result:
        status.update(errorResult=job.error_result, errors=[job.error_result])
    path = f"/bigquery/v2/projects/{job.project_id}/jobs/{job.job_id}?location={reference['location']}"
    return {
        "kind": "bigquery#job",
        "etag": job.etag,
        "id": f"{job.project_id}:{reference['location']}.{job.job_id}",
        "selfLink": f"https://{request.url.hostname}{path}",
        "user_email": f"local@{job.project_id}.iam.gserviceaccount.com",
        "jobReference": reference,
        "configuration": job.configuration,
        "statistics": statistics,
        "status": status,
    }


async def _document(request: Request) -> dict[str, Any]:
    return _parsed(await request.body())


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ValidationError("Parse Error: the body is not a JSON object.")
    return document


def _parts(body: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
    """The job and the file of a multipart upload."""
    boundary = _BOUNDARY.search(content_type)
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode()) if boundary else []
    if len(parts) != 4 or not parts[3].startswith(b"--"):
        raise ValidationError("A multipart upload needs two parts: a job in JSON, then the file.")
    document, content = (part.partition(b"\r\n\r\n")[2] for part in parts[1:3])
    return _parsed(document), content
