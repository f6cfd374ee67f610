"""Votes and aggregates by hand."""

import pytest

from reason.reranking import aggregate, cluster, vote, weighted_vote
from tests.reason.guided_search.scripted import TextGrader


def test_aggregates():
    scores = [0.9, 0.5, 0.8]
    assert aggregate(scores, "last") == 0.8
    assert aggregate(scores, "min") == 0.5
    assert aggregate(scores, "prod") == pytest.approx(0.36)
    assert aggregate(scores, "mean") == pytest.approx(2.2 / 3)
    with pytest.raises(ValueError, match="without steps"):
        aggregate([], "last")


async def test_equal_answers_are_one_answer_and_blanks_are_none():
    assert await cluster(["0.5", None, "2", "1/2", "0.5"], TextGrader()) == [0, None, 1, 0, 0]


def test_blanks_never_vote():
    assert vote("majority_vote", [None, None, 0], None) == 2
    assert vote("majority_vote", [None, None], None) is None
    assert vote("prm_min_max", [None, 0], [[0.9], [0.1]]) == 1
    assert vote("prm_last_max", [None], [[0.9]]) is None


def test_the_five_votes_by_hand():
    clusters = [0, 1, 1, 2, 2]
    scores = [[0.2, 0.95], [0.5, 0.45], [0.5, 0.4], [0.1, 0.3], [0.6, 0.3]]
    assert clusters[vote("majority_vote", clusters, scores)] == 1  # 2 votes, before the other answer with 2
    assert vote("prm_min_max", clusters, scores) == 1  # min: 0.2 0.45 0.4 0.1 0.3
    assert clusters[vote("prm_min_vote", clusters, scores)] == 1  # 0.2, 0.85, 0.4
    assert vote("prm_last_max", clusters, scores) == 0
    assert clusters[vote("prm_last_vote", clusters, scores)] == 0  # 0.95, 0.85, 0.6


def test_a_tie_goes_to_the_answer_that_appeared_first():
    assert weighted_vote([1, 0], [0.5, 0.5]) == 0
    assert vote("majority_vote", [0, 1, 1, 0], None) == 0


def test_the_last_bits_of_a_score_do_not_decide():
    assert weighted_vote([0, 1], [0.5, 0.5 + 1e-8]) == 0
    assert vote("prm_min_max", [0, 1], [[0.5, 0.9], [0.5 + 1e-8, 0.7]]) == 0
    assert vote("prm_min_max", [0, 1], [[0.5], [0.51]]) == 1


def test_a_prm_vote_without_scores_is_refused():
    with pytest.raises(ValueError, match="needs step scores"):
        vote("prm_min_vote", [0], None)
