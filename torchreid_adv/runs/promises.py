"""The meaning of the three words of verification, shown wherever results are listed."""

UNSEEN = "A weak or missing attack cannot be seen from files."
WORDS = {
    "sealed": "the file is complete and consistent; anyone who knows the format can write another "
    "one",
    "files checked": "every stored image matches its original, its bound and its manifest, and the "
    "result matches the images; whether the model produces these numbers is not known",
    "scored again": "the model was given, and its numbers were recomputed from the stored images: "
    "exactly on the machine that wrote them, to 0.001 elsewhere; the numbers in such a row are "
    "those of this machine",
}
