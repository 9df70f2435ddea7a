SLENDER = 2.8


def ratio(length_mm, depth_mm):
    return length_mm / depth_mm
