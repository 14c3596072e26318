"""Tracklets in pictures: ranking lists network by network, and attention frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.data.cross_modality.modality import WORDS
from torchreid_adv.data.images import read_image
from torchreid_adv.data.records import Record
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.models.pixel_model import frozen
from torchreid_adv.models.tracklet_model import TrackletModel
from torchreid_adv.report.attention import overlay, projected_maps
from torchreid_adv.report.choice import choose_queries
from torchreid_adv.report.panels import LINE, Sheet, draw_list
from torchreid_adv.report.ranking_lists import list_rows
from torchreid_adv.report.style import INK
from torchreid_adv.report.survey import Survey, survey_target
from torchreid_adv.report.text import percent

_LEFT = 0.15


@dataclass(frozen=True)
class Subject:
    """A tracklet that pictures of attention show.

    Args:
        record: the tracklet.
        images: its clip, RGB.
    """

    record: Record
    images: Sequence[Image.Image]

    @classmethod
    def of(cls, record: Record) -> Subject:
        """Read the frames that a test uses."""
        return cls(record, [read_image(record.frames[number].path) for number in record.clip])

    @property
    def title(self) -> str:
        """The identity and the kind of light."""
        light = "" if self.record.modality is None else f", {WORDS[self.record.modality]}"
        return f"{self.record.pid}{light}"


def chosen_rows(target: AttackedData, survey: Survey, count: int) -> list[int]:
    """Return query rows to show: correct before the attack, spread over the loss of AP."""
    pids = target.query.pids[survey.rows].tolist()
    places = choose_queries(survey.before, survey.after, pids, count=count)
    return survey.rows[places].tolist()


def lists_figure(reports: Mapping[str, AttackedData], *, after: bool, count: int) -> Figure:
    """Draw the lists of some queries for every network; green is correct, red is wrong.

    Args:
        reports: of one data set, by the networks' labels; the last network chooses the queries.
        after: show the lists of the attacked queries.
        count: number of queries.
    """
    surveys = {label: survey_target(report) for label, report in reports.items()}
    last = list(reports)[-1]
    rows = chosen_rows(reports[last], surveys[last], count)
    lists_by_label = {
        label: list_rows(report, torch.tensor(rows), after=after)
        for label, report in reports.items()
    }
    longest = max(len(list_row.found) for lists in lists_by_label.values() for list_row in lists)
    sheet = Sheet(len(rows) * len(reports), 1 + longest, left=_LEFT)
    for place, row in enumerate(rows):
        for number, (label, survey) in enumerate(surveys.items()):
            ranking = survey.after if after else survey.before
            where = survey.rows.tolist().index(row)
            precision = percent(float(ranking.average_precision[where]))
            list_row = replace(lists_by_label[label][place], label=label)
            draw_list(sheet, place * len(reports) + number, list_row, precision)
    return sheet.figure


def clip_maps(model: TrackletModel, subject: Subject) -> list[np.ndarray]:
    """Return a map in [0, 1] for each frame of a clip: where the tracklet's feature comes from.

    Grad-CAM at the last layer with a spatial map, of the feature's projection on its own
    direction; each frame's map is scaled to its own range.
    """
    light = subject.record.modality
    modality = None if light is None else torch.tensor([light])
    clip = model.file_transform()(list(subject.images))
    with torch.no_grad(), frozen(model):
        toward = F.normalize(model.of_files([clip], modality=modality).float(), dim=1)
    return list(projected_maps(_OneClip(model, modality), [clip], toward)[0])


class _OneClip(nn.Module):
    """The frames of one clip as a batch: (T, 3, H, W) -> (1, D)."""

    def __init__(self, model: TrackletModel, modality: Tensor | None) -> None:
        super().__init__()
        self.model, self.modality = model, modality

    def forward(self, frames: Tensor) -> Tensor:
        modality = None if self.modality is None else self.modality.to(frames.device)
        return self.model.described(frames[None], modality)


def attention_sheet(models: Mapping[str, TrackletModel], subjects: Sequence[Subject]) -> Figure:
    """Draw tracklets side by side, frame by frame, above the attention maps of each network.

    Args:
        models: label -> model, a row each.
        subjects: the tracklets.
    """
    frames = [(subject, place) for subject in subjects for place in range(len(subject.images))]
    sheet = Sheet(1 + len(models), len(frames), left=_LEFT, head=0, top=LINE)
    sheet.label(0, "frames")
    for column, (subject, place) in enumerate(frames):
        title = subject.title if place == 0 else ""
        sheet.show(0, column, subject.images[place], frame=INK, above=title)
    for row, (label, model) in enumerate(models.items(), start=1):
        sheet.label(row, label)
        heat_maps = [heat_map for subject in subjects for heat_map in clip_maps(model, subject)]
        for column, ((subject, place), heat_map) in enumerate(zip(frames, heat_maps, strict=True)):
            sheet.show(row, column, overlay(subject.images[place], heat_map))
    return sheet.figure
