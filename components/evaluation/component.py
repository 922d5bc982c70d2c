"""Evaluation components."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from ..images import image


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def evaluate_classification(
    predictions: Input[Dataset],
    metrics: Output[Metrics],
    classification_metrics: Output[ClassificationMetrics],
    report: Output[HTML],
    confidence_level: float = 0.95,
    seed: int = 0,
) -> None:
    """Measures how good a text classifier's predictions are, with confidence intervals.

    Degenerate data is said to be so in the report: one label only, a model with one answer, labels that the model does
    not know. A metric that is undefined is left out, never set to a made-up value.

    Args:
        predictions: Predictions of one model, as `batch_predict` writes them for a table with the column `label`.
        metrics: `accuracy`, `macro_f1`, `log_loss` (nats), `roc_auc` (two labels), `calibration_error` (15 bins), and
            `precision[LABEL]`, `recall[LABEL]`, `f1[LABEL]`; bounds as `…_low`, `…_high` (Wilson for shares of rows,
            else percentile bootstrap; none for the calibration error); `rows`; `baseline_accuracy` (most frequent
            label).
        classification_metrics: Confusion matrix (true × predicted) and, for two labels, the ROC curve.
        report: One self-contained HTML page with the metrics and plots.
        confidence_level: Of all intervals, from 0.5 to 0.9999.
        seed: Seed of the bootstrap.

    Raises:
        InputError: If a parameter is out of range, or the predictions are no sound table: no rows, a null label, a
            repeated row, a label that is not the model's, probabilities that are NaN or do not sum to 1.
    """
    from seatrial.components.artifacts import SCHEMA_VERSION, describe_metrics, write_json, write_text
    from seatrial.components.evaluation.classification_page import classification_page
    from seatrial.components.evaluation.classify import evaluate
    from seatrial.components.evaluation.predictions import read_predictions
    from seatrial.components.runtime import task

    with task("evaluate_classification"):
        read = read_predictions(predictions.path)
        parameters: dict = {"confidence_level": confidence_level, "seed": seed}
        evaluation = evaluate(read, **parameters)
        page = classification_page(
            evaluation,
            title="Evaluation of a text classifier",
            subtitle=f"Model {read.model_type}, digest {read.model_digest[:12]}",
            confidence_level=confidence_level,
        )
        write_text(report.path, page)
        report.metadata.update(schema_version=SCHEMA_VERSION, predictions_digest=read.digest, parameters=parameters)
        describe_metrics(metrics, evaluation.flat(), f"accuracy {evaluation.overall['accuracy']}")
        classification_metrics.log_confusion_matrix(evaluation.labels, evaluation.confusion.tolist())
        if evaluation.roc is not None:
            classification_metrics.log_roc_curve(
                evaluation.roc.false_positive_rates, evaluation.roc.true_positive_rates, evaluation.roc.thresholds
            )
        write_json(classification_metrics.path, classification_metrics.metadata)


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def compare_models(
    challenger: Input[Dataset],
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    champion: Input[Dataset] = None,  # how KFP marks an optional input
    non_inferiority_margin: float = 0.01,
    significance_level: float = 0.05,
    minimum_accuracy: float = 0.0,
) -> str:
    """Decides whether a challenger is good enough to take the champion's place.

    Both models predicted the same rows. With d, the challenger's accuracy less the champion's, and its confidence
    interval at level 1 − significance_level (Tango's score interval for paired proportions), the first rule that
    applies decides:

    1. The same model: hold, `identical`.
    2. The challenger's accuracy is shown to be below minimum_accuracy: reject, `below_minimum`.
    3. The interval of d lies below 0: reject, `worse`, be it by less than the margin.
    4. The interval of d reaches −non_inferiority_margin: hold, `undecided`, with the number of rows that would decide.
    5. The challenger's accuracy is not shown to reach minimum_accuracy: hold, `minimum_not_shown`.
    6. Promote, `non_inferior`, and separately whether it is shown to be better: `superior` or `not_superior` (McNemar's
       test with mid-p).

    Without a champion rules 2 and 5 apply, then promote, `first_model`.

    Args:
        challenger: Predictions of the new model, as `batch_predict` writes them for a table with the column `label`.
        verdict: JSON: `verdict`, `reasons` (`code`, `text`), `evidence` (accuracies and their difference with
            intervals, p-values, how many rows only one of the two gets right, digests, the parameters).
        metrics: The numbers of the evidence.
        champion: Predictions of the model that serves now, for the same rows; left out if there is none.
        non_inferiority_margin: Loss of accuracy that nobody would mind, from 0 to 0.5.
        significance_level: From 0.0001 to 0.5. A challenger that is truly worse by the margin or more is promoted with
            a probability of about half of it at most.
        minimum_accuracy: What any model must be shown to reach, from 0 to 1.

    Returns:
        "promote", "hold" or "reject".

    Raises:
        InputError: If a parameter is out of range, predictions are unsound, or the two are not for the same rows with
            the same labels.
    """
    from seatrial.components.artifacts import SCHEMA_VERSION, describe_metrics
    from seatrial.components.evaluation.compare import compare, flat, headline
    from seatrial.components.evaluation.verdict import write_verdict
    from seatrial.components.runtime import task

    with task("compare_models"):
        decision = compare(
            challenger.path,
            champion.path if champion else None,
            non_inferiority_margin=non_inferiority_margin,
            significance_level=significance_level,
            minimum_accuracy=minimum_accuracy,
        )
        write_verdict(verdict.path, decision)
        verdict.metadata.update(schema_version=SCHEMA_VERSION, verdict=decision.verdict)
        describe_metrics(metrics, flat(decision), headline(decision))
    return decision.verdict


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def gate(verdict: Input[Artifact]) -> str:
    """Says as a parameter what a verdict says, for the conditions of a pipeline.

    A `dsl.OneOf` of parameters that only a condition reads is lost in compilation (KFP 2.17); one of artifacts is not.

    Args:
        verdict: The verdict of `compare_models`.

    Returns:
        "promote", "hold" or "reject".

    Raises:
        InputError: If it is no verdict.
    """
    from seatrial.components.evaluation.verdict import read_verdict
    from seatrial.components.runtime import log, task

    with task("gate"):
        found = read_verdict(verdict.path)
        log(f"{found['verdict']}: " + " ".join(reason["text"] for reason in found["reasons"]))
    return found["verdict"]


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def report_run(
    job: str,
    ledger: Input[Dataset],
    curation: Input[Metrics],
    evaluation: Input[Metrics],
    verdict: Input[Artifact],
    rollout: Input[Artifact],
    report: Output[HTML],
    classification_metrics: Input[ClassificationMetrics] = None,
    model: Input[Model] = None,
    drill: str = "",
) -> None:
    """Tells a whole run on one page: the outcome in a sentence, both models, the traffic over time, the data.

    Args:
        job: The running job, `dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER`.
        ledger: The removed rows, from `curate_text`.
        curation: The metrics of `curate_text`.
        evaluation: The new model's metrics, from `evaluate_classification`.
        verdict: The verdict of `compare_models`.
        rollout: What became of the model, from `deploy_canary` or `keep_champion`.
        report: One self-contained HTML page, for any width and for paper.
        classification_metrics: The new model's confusion matrix, from `evaluate_classification`; it may be left out.
        model: The new model, from the training component; its loss curve is drawn if it has one.
        drill: What the new model did wrong on purpose, if it was a drill.

    Raises:
        InputError: If an input is not what it should be.
    """
    from seatrial.components.artifacts import SCHEMA_VERSION, read_table, write_text
    from seatrial.components.deployment.rollout import read_rollout
    from seatrial.components.evaluation.loss_curve import loss_curve_of
    from seatrial.components.evaluation.report_run import Run, confusion_of, removed_by_operation, render, sentence
    from seatrial.components.evaluation.verdict import read_verdict
    from seatrial.components.runtime import task

    with task("report_run"):
        run = Run(
            verdict=read_verdict(verdict.path),
            rollout=read_rollout(rollout.path),
            removed=removed_by_operation(read_table(ledger.path, ["operation"])["operation"].to_pylist()),
            curation=curation.metadata,
            evaluation=evaluation.metadata,
            confusion=confusion_of(classification_metrics.metadata) if classification_metrics else None,
            facts={
                "pipeline job": job,
                **({"drill": f"{drill}: the new model did harm on purpose"} if drill else {}),
                **{f"curation: {name}": value for name, value in curation.metadata.get("parameters", {}).items()},
            },
            loss=loss_curve_of(model.metadata) if model else None,
        )
        write_text(report.path, render(run))
        report.metadata.update(schema_version=SCHEMA_VERSION, headline=sentence(run))
