"""Where these tests compute. With "cpu" and False they run on any machine, and show less."""

DEVICE, GPU = "cuda", True
