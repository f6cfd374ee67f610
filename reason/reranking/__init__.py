"""Step scores -> solution score -> answer."""

from reason.reranking.aggregate import AGGREGATES, aggregate
from reason.reranking.votes import HEADLINE, MAJORITY, VOTES, all_votes, cluster, headline_weights, vote, weighted_vote

__all__ = [
    "AGGREGATES",
    "HEADLINE",
    "MAJORITY",
    "VOTES",
    "aggregate",
    "all_votes",
    "cluster",
    "headline_weights",
    "vote",
    "weighted_vote",
]
