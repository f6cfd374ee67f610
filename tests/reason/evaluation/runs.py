"""Run folders of best-of-N, tree searches and greedy decoding, written as evaluate.py writes them, without services."""

from reason.evaluation import records


def solution(answer, verdict, score):
    return {"text": "", "value": [score], "answer": answer, "verdict": verdict, "num_tokens": 10}


def result_of(right):
    return {"majority_vote": int(right), "headline": int(right), "coverage": 1, "total_completion_tokens": 9}


def make_run(
    save_dir, method="best_of_n", budget=4, outcomes=(1, 0), rm="prm", outputs=None, failed=(), planned=None,
    task="arithmetic", ids=None, **arguments,
):  # fmt: skip
    """The folder of a run with one question for each of `outcomes` (whether the headline is right).

    `outputs` are every question's solutions; `arguments` go to config.json, seed, num_shards and shard among them.
    """
    seed = arguments.setdefault("seed", 0)
    config = {
        "method": method, "LM": "policy", "RM": rm, "arguments": {"budget": budget, "temperature": None, **arguments},
        "method_config": {"num_sequence": budget or 1, "width": 4},
        "gen_config": {"temperature": arguments.get("temperature", 1.0), "seed": seed},
        "dataset": {"task": task, "sha256": "x", "questions": planned or len(outcomes)},
        "cards": {"RM": {"aggregation": "min"}} if rm else {},
    }  # fmt: skip
    run = records.create(save_dir, task, method, config)
    for i, right in enumerate(outcomes):
        error = {"type": "ModelError", "message": "x"} if i in failed else None
        run.append({
            "id": ids[i] if ids else str(i), "result": None if error else result_of(right), "output": outputs or [],
            "ledger": {"generated_tokens": 10 * (budget or 1), "prm_tokens_computed": 5 * (budget or 1)},
            "error": error, "level": None, "undecided": 0, "elapsed": 0.5 * (i + 1),
        })  # fmt: skip
    run.close()
    return run.path
