"""The method on one page: from videos to people."""

from __future__ import annotations

from collections.abc import Sequence

from vcn_trt.adapt.stage import ADAPT, NO_ADAPT, Given, open_given
from vcn_trt.backends import Backend
from vcn_trt.cluster.people import CLUSTER
from vcn_trt.embed import EMBED, Base, open_base
from vcn_trt.ingest.production import INGEST
from vcn_trt.report.page import REPORT, told
from vcn_trt.run import Run
from vcn_trt.sources import Source
from vcn_trt.types import Clusters, TrackSet
from vcn_trt.zoo.models import open_model


def cluster_videos(run: Run, sources: Sequence[Source], backend: Backend) -> Clusters:
    """Find, follow, sample, recognise, adapt to and group every face of a production; each stage is loaded where it is
    already done."""
    config = run.config
    detector = open_model(config.detect.model, "detector")
    base = open_base(config.embed.model, backend, config.embed.engine)
    given = open_given(config.adapt.model)

    tracks = run.stage(INGEST, sources, detector, backend, config.ingest)
    return group(run, tracks, base, given, backend)


def group(run: Run, tracks: TrackSet, base: Base, given: Given | None, backend: Backend) -> Clusters:
    """Recognise, adapt and group, of tracks that are there."""
    config = run.config
    vectors = run.stage(EMBED, tracks, base, backend, config.embed, config.quality.measured)
    if config.cluster.adapts:
        model = run.stage(ADAPT, tracks, base, given, vectors, backend, config.adapt, config.match, config.seed)
    else:
        model = run.stage(NO_ADAPT, vectors)
    people = run.stage(CLUSTER, tracks, vectors, model, backend, config.cluster, config.quality)
    run.stage(REPORT, tracks, model, people, told(run))
    return people
