"""Hand-written rows in the public formats, and conversion of rows in a few words."""

import json

from data.preprocess import cli

QUESTION = "What is 2 + 3 * 4?"
PRM800K = {
    "labeler": "11111111-2222-3333-4444-555555555555",
    "timestamp": "2022-08-01T10:00:00.000000",
    "generation": None,
    "is_quality_control_question": False,
    "is_initial_screening_question": False,
    "question": {"problem": QUESTION, "ground_truth_answer": "14"},
    "label": {
        "steps": [
            {
                "completions": [{"text": " Multiply first. ", "rating": 1, "flagged": False}],
                "human_completion": None,
                "chosen_completion": 0,
            },
            {
                "completions": [
                    {"text": "3 * 4 = 7.", "rating": -1, "flagged": False},
                    {"text": "2 + 3 = 5.", "rating": -1, "flagged": False},
                    {"text": "3 * 4 = 7.", "rating": -1, "flagged": False},
                ],
                "human_completion": {"text": "3 * 4 = 12.", "rating": None, "source": "human", "flagged": False},
                "chosen_completion": None,
            },
            {
                "completions": [
                    {"text": "Let me think.", "rating": 0, "flagged": False},
                    {"text": "2 + 12 = 14.\n\n# Answer\n\n14", "rating": 1, "flagged": False},
                    {"text": "So 15.", "rating": None, "flagged": True},
                ],
                "human_completion": None,
                "chosen_completion": 1,
            },
        ],
        "total_time": 1000,
        "finish_reason": "solution",
    },
}
MATH_SHEPHERD = {
    "input": "Ann has 2 pens and buys 3. How many? Step 1: 2 + 3 = <<2+3=6>>6 pens. ки\nStep 2: The answer is: 6 ки",
    "label": "Ann has 2 pens and buys 3. How many? Step 1: 2 + 3 = <<2+3=6>>6 pens. -\nStep 2: The answer is: 6 -",
    "task": "GSM8K",
}
TREE = {
    "question": QUESTION,
    "final_answer": "14",
    "reasoning_steps": {
        "text": QUESTION,
        "mc_value": 0.75,
        "children": [
            {
                "text": "Multiply first.",
                "mc_value": 0.5,
                "children": [
                    {"text": "3 * 4 = 12.\n\n2 + 12 = 14.", "mc_value": 1.0, "children": []},
                    {"text": "3 * 4 = 7.", "mc_value": 0.0, "children": []},
                ],
            },
            {"text": "It is 14.", "mc_value": 1.0, "children": []},
        ],
    },
    "question_id": 0,
}
FLAT = TREE | {
    "reasoning_steps": [
        {"solution_prefix": QUESTION, "mc_value": 0.75},
        {"solution_prefix": f"{QUESTION}\n\n\nMultiply first.", "mc_value": 0.5},
        {"solution_prefix": f"{QUESTION}\n\n\nMultiply first.\n\n3 * 4 = 12.\n\n2 + 12 = 14.", "mc_value": 1.0},
        {"solution_prefix": f"{QUESTION}\n\n\nMultiply first.\n\n3 * 4 = 7.", "mc_value": 0.0},
        {"solution_prefix": f"{QUESTION}\n\nIt is 14.", "mc_value": 1.0},
    ]
}
PROCESSBENCH = {
    "id": "gsm8k-7",
    "generator": "some-model",
    "problem": QUESTION,
    "steps": ["3 * 4 = 12.", "2 + 12 = 15.", "It is 15."],
    "final_answer_correct": False,
    "label": 1,
}


def write(path, rows, as_list=False):
    """A file of rows, JSONL or one JSON list."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("[" + ",\n".join(lines) + "]" if as_list else "".join(f"{line}\n" for line in lines))
    return path


def convert(folder, form, rows, *options):
    """The command's output for a file of these rows, read back."""
    path = write(folder / "rows.jsonl", rows)
    assert cli.main([form, *options, str(path)]) == 0
    if "--openr" in options:
        return json.loads((folder / "rows.new.json").read_text(encoding="utf-8"))
    return [json.loads(line) for line in (folder / "rows.new.jsonl").read_text(encoding="utf-8").splitlines()]


def brief(rows):
    """(steps, labels) of each row."""
    return [(row["steps"], row["labels"]) for row in rows]
