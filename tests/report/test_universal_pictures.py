"""Pictures of queries under universal attacks show what is stored."""

import numpy as np
from PIL import Image

from torchreid_adv.experiments.scenario_pictures import attacked_figure


def test_each_query_has_two_rows_and_a_column_for_each_way(tmp_path):
    originals, forms = {}, {"delta": {}, "both": {}}
    for number in range(2):
        name = f"query/{number}"
        pixels = np.full((64, 32, 3), 100 + number, dtype=np.uint8)
        originals[name] = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(originals[name])
        for shift, (way, column) in enumerate(forms.items(), start=1):
            column[name] = tmp_path / f"{number}_{way}.png"
            Image.fromarray(pixels + np.uint8(4 * shift)).save(column[name])
    figure = attacked_figure(originals, forms, 8)
    images = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    assert len(images) == 2 * (1 + 2 + 2)
    first = [int(image[0, 0, 0]) for image in images[:5]]
    assert first == [100, 104, 191, 108, 255]  # query, then form and change: 4 and 8 of 8 levels
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert [texts.count(word) for word in ("query", "delta", "both")] == [1, 1, 1]
    assert texts.count("perturbation") == 2
