"""What each of the three words of verification promises, said where people look."""

UNSEEN = "A weak or missing attack cannot be seen from files."
WORDS = {
    "sealed": "the file is whole, and what it says fits together; whoever knows the format can "
    "write another one",
    "files checked": "every stored image fits its original, its bound and its manifest, and the "
    "result fits the images; whether the model gives these numbers is not known",
    "scored again": "the model was given, and its numbers were computed once more from the stored "
    "images: exactly on the machine that wrote them, to 0.001 elsewhere; the numbers of such a row "
    "are those of this machine",
}
