"""Training components."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from ..images import image


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def train_linear(
    train: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    estimator: str = "logistic_regression",
    regularisation: float = 0.1,
    maximum_features: int = 200_000,
) -> None:
    """Trains a linear text classifier, or the trivial baseline to compare it with.

    Logistic regression on TF-IDF features of words and word pairs. No step draws a random number: the same rows in the
    same order give a model with the same digest, on one kind of processor with one version of the libraries.

    Args:
        train: Table with the columns `text` and `label` (strings, no nulls), as `curate_text` writes it.
        model: The model folder: `config.json`, `model.safetensors`, and `vocabulary.json` for the linear model.
        metrics: `rows`, `labels`; for logistic regression also `features`, `iterations` and `training_log_loss` (nats).
        estimator: "logistic_regression", or "majority_class", which answers every text with the shares of the labels.
        regularisation: Strength of the L2 penalty (1 / C of scikit-learn), from 1e-6 to 1e6; for logistic regression.
        maximum_features: Size of the vocabulary: the terms that most texts contain; for logistic regression.

    Raises:
        InputError: If a parameter is out of range, the table lacks a column, has no rows or holds nulls, the rows have
            fewer than two labels, or the solver does not converge.
    """
    from seatrial.components.artifacts import describe, describe_metrics
    from seatrial.components.runtime import task
    from seatrial.components.training.linear import train as train_model

    with task("train_linear"):
        parameters: dict = {
            "estimator": estimator,
            "regularisation": regularisation,
            "maximum_features": maximum_features,
        }
        manifest, values = train_model(train.path, model.path, **parameters)
        describe(model, manifest, **parameters)
        describe_metrics(metrics, values, f"{values['rows']:,} rows, {values['labels']} labels")


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def resolve_model(uri: str) -> list:
    """Lists the files of a pretrained Hugging Face model in Cloud Storage, with the generation each has now.

    A pipeline must not cache this task: the URI stays the same while objects come and go. `ingest_model` can be cached,
    since it gets exact generations.

    Args:
        uri: Folder with `config.json`, `model.safetensors`, `tokenizer.json`: `gs://bucket/models/minilm`.

    Returns:
        One entry a file, sorted by name: `{"uri", "generation"}`. Only files that are data are listed: no pickles, no
        code.

    Raises:
        InputError: If the URI does not begin with gs://, its bucket does not exist or may not be read, or one of the
            three files is not there.
    """
    from google.cloud.storage import Client

    from seatrial.components.runtime import task
    from seatrial.components.training.pretrained import resolve

    with task("resolve_model"):
        return resolve(Client(), uri)


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def ingest_model(source: list, model: Output[Model]) -> None:
    """Copies the files of a pretrained model into a model folder with a manifest.

    Args:
        source: What `resolve_model` returned. Exactly these generations are read.
        model: Hugging Face folder, for `finetune_text`.

    Raises:
        InputError: If an object was replaced or deleted since it was resolved, or may not be read.
    """
    from google.cloud.storage import Client

    from seatrial.components.artifacts import describe
    from seatrial.components.runtime import task
    from seatrial.components.training.pretrained import ingest

    with task("ingest_model"):
        manifest = ingest(Client(), source, model.path)
        size = sum(entry.size for entry in manifest.files.values())
        describe(model, manifest, headline=f"{size / 1e6:,.0f} MB", source=source)


@dsl.component(base_image=image("gpu"), install_kfp_package=False)
def finetune_text(
    train: Input[Dataset],
    pretrained: Input[Model],
    model: Output[Model],
    metrics: Output[Metrics],
    epochs: float = 1.0,
    learning_rate: float = 1e-4,
    batch_size: int = 16,
    maximum_tokens: int = 128,
    seed: int = 0,
) -> None:
    """Fine-tunes a pretrained transformer into a text classifier.

    All weights are trained with AdamW on cross-entropy, without dropout, in batches of texts of similar length. The
    task uses one GPU if it has one, and computes in bfloat16 where the processor has instructions for it. The same rows
    and seed give the same model on one kind of CPU with as many cores and one version of the libraries; a GPU cannot
    promise that.

    Args:
        train: Table with the columns `text` and `label` (strings, no nulls), as `curate_text` writes it.
        pretrained: Hugging Face folder (`config.json`, `model.safetensors`, `tokenizer.json`), as `ingest_model` writes
            it, or a model that this component has made, to train it further.
        model: The model folder: a Hugging Face folder in safetensors. Its metadata has `loss_curve`: rows seen and mean
            loss (nats) since the point before, at most 100 points.
        metrics: `rows`, `labels`, `steps`, `training_loss` (nats, of the last tenth), `rows_per_second`.
        epochs: How often each row is seen, from 0.001; 0.5 sees half of the rows.
        learning_rate: The highest; it is reached after a tenth of the steps and then falls to 0.
        batch_size: Rows per step.
        maximum_tokens: Where texts are cut, in training and from then on; at most what the model has positions for.
        seed: Of the order of the rows and of the new head's weights.

    Raises:
        InputError: If a parameter is out of range, the table lacks a column, has no rows, holds nulls or one label
            only, the pretrained model cannot be loaded, or the training diverges.
    """
    from seatrial.components.artifacts import describe, describe_metrics
    from seatrial.components.runtime import task
    from seatrial.components.training.finetune import Settings, finetune

    with task("finetune_text"):
        parameters: dict = {
            "epochs": epochs,
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "maximum_tokens": maximum_tokens,
            "seed": seed,
        }
        manifest, values = finetune(train.path, pretrained.path, model.path, Settings(**parameters))
        describe(model, manifest, **parameters)
        headline = f"loss {values['training_loss']:.3f}, {values['rows_per_second']:.0f} rows/s"
        describe_metrics(metrics, values, headline)
