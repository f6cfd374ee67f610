"""Step scores -> solution score -> answer."""

from reason.reranking.aggregate import AGGREGATES, aggregate
from reason.reranking.votes import MAJORITY, VOTES, cluster, vote, weighted_vote

__all__ = ["AGGREGATES", "MAJORITY", "VOTES", "aggregate", "cluster", "vote", "weighted_vote"]
