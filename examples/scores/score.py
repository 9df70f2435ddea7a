"""How long and slender a bill is."""

from lib import bills

limits = {}


def load():
    """Runs once in each worker, before the first packet: the place for models and connections."""
    limits.update(slender=bills.SLENDER)


def score(bill_length_mm, bill_depth_mm):
    ratio = bills.ratio(bill_length_mm, bill_depth_mm)
    if ratio < 1:
        return None  # no bill is like that: the row is dropped
    return {"score": ratio, "label": "slender" if ratio >= limits["slender"] else "stout"}
