"""Grading a finished run again."""

import json

from reason.evaluation.regrade import main


def test_regrading_shows_what_changed(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"arguments": {"task_name": "MATH"}}))
    output = [
        {"text": "so \\boxed{0.5}", "answer": "0.5", "verdict": False},
        {"text": "so \\boxed{2}", "answer": "2", "verdict": False},
        {"text": "", "answer": None, "verdict": None},
    ]
    record = {"id": "a", "question": "?", "gold": "\\frac12", "output": output}
    (tmp_path / "record.jsonl").write_text(json.dumps(record) + "\n")
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "3 solutions" in shown and "1 changed" in shown and "'0.5' wrong -> '0.5' right" in shown
    capsys.readouterr()
    assert main([str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"regrade.py: there is no folder {tmp_path / 'none'}\n"
    (tmp_path / "config.json").unlink()
    assert main([str(tmp_path)]) == 2
    assert "--task" in capsys.readouterr().err
