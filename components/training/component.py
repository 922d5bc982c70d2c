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
    from seatrial.components.artifacts import describe
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
        for name, value in values.items():
            metrics.log_metric(name, value)
        metrics.metadata["headline"] = f"{values['rows']:,} rows, {values['labels']} labels"
