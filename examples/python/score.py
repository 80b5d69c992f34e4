"""A logistic regression over ten features, written as for pandas UDFs elsewhere:
once for the rows of a group (applyInPandas), once for columns (pandas_udf), and an
aggregate."""

import numpy as np
import pandas as pd

# What a training run would leave behind: loaded once per process.
BIAS = -0.3
WEIGHTS = np.array([0.8, -1.1, 0.45, 0.2, -0.65, 1.3, -0.15, 0.7, -0.9, 0.25])
FEATURES = ["g%d" % i for i in range(1, 11)]


def score(df: pd.DataFrame) -> pd.DataFrame:
    """Scores the rows of one group."""
    z = BIAS + df[FEATURES].to_numpy() @ WEIGHTS
    return pd.DataFrame({"user_id": df["user_id"], "prediction": 1 / (1 + np.exp(-z))})


def score_row(g1: pd.Series, g2: pd.Series, g3: pd.Series, g4: pd.Series, g5: pd.Series,
              g6: pd.Series, g7: pd.Series, g8: pd.Series, g9: pd.Series, g10: pd.Series) -> pd.Series:
    """The same model over columns."""
    z = BIAS
    for w, g in zip(WEIGHTS, (g1, g2, g3, g4, g5, g6, g7, g8, g9, g10)):
        z = z + w * g
    return 1 / (1 + np.exp(-z))


class GeometricMean:
    """exp of the mean of logarithms."""

    def __init__(self):
        self.n, self.logs = 0, 0.0

    def step(self, x: np.ndarray):
        self.n += len(x)
        self.logs += float(np.log(x).sum())

    def merge(self, other):
        self.n += other.n
        self.logs += other.logs

    def finish(self):
        return float(np.exp(self.logs / self.n)) if self.n else None
