"""theta_0 of the chapter ``voc_classifier``: trained, or one that was."""

from __future__ import annotations

from pathlib import Path

import torch

from ribnb.book.voc_settings import VOCClassifierSettings
from ribnb.nets.classifier import classifier_metadata, load_classifier, mean_average_precision
from ribnb.nets.train import Training, train_classifier


def trained_classifier(
    settings: VOCClassifierSettings, folder: str | Path, device: torch.device
) -> Training:
    """Train the classifier, or load what this training left, or the one that is named.

    Args:
        settings: with ``classifier`` a file is loaded and nothing trained.
        folder: keeps the training, which goes on from there after a kill.
        device: to train on; the net stays there.

    Raises:
        OSError: images or weights that cannot be had.
        ValueError: a net of another number of classes; see ``train_classifier`` too.
    """
    validation = settings.validation_images()
    num_classes = len(validation.class_names)
    if not settings.classifier:
        return train_classifier(
            settings.first_net(num_classes),
            settings.training_images(),
            settings.recipe,
            folder,
            validation,
            device,
            settings.workers,
        )
    record = classifier_metadata(settings.classifier)
    model = load_classifier(settings.classifier, num_classes=num_classes)
    precision = mean_average_precision(
        model, validation, device, workers=settings.workers, precision=settings.precision
    )
    history, each = record.get("history", []), record.get("validation_history", [])
    return Training(model, history, precision, each, True, record.get("seconds", 0.0))
