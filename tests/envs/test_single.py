"""Every task as a single-step Gymnasium environment."""

import json
import pickle
import subprocess
import sys
import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from support.paths import ROWS

from neuromas_env import neuromas_v0
from neuromas_env.envs.registration import SINGLE
from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, list_tasks, make_task
from neuromas_env.tasks.base import Score, Task
from neuromas_env.tasks.hierarchy import Hierarchy

ROWS = str(ROWS)
HIERARCHY = "neuromas/Hierarchy-v0"
SAME_STEP = {"autoreset_mode": AutoresetMode.SAME_STEP}
MADE = {
    "neuromas/Task-v0": {"task": "signal:symbols=3"},
    "neuromas/MMLU-v0": {"subject": "prehistory", "data": ROWS},
    "neuromas/ARC-Challenge-v0": {"data": ROWS},
    "neuromas/ARC-Easy-v0": {"data": ROWS},
    "neuromas/BBH-v0": {"task": "navigate", "data": ROWS},
    HIERARCHY: {"kind": "bool"},
    "neuromas/HumanEval-v0": {"split": "test", "data": "PROGRAMS"},
    "neuromas/MBPP-v0": {"data": "PROGRAMS"},
}


def program(number):
    """A row of HumanEval and one of MBPP, about the same function."""
    name, doc = f"add_{number}", f"Return the sum of n and {number}."
    body, test = f"    return n + {number}\n", f"assert add_{number}(2) == {2 + number}"
    head = f"def {name}(n):\n"
    human = {
        "task_id": f"HumanEval/{number}", "prompt": f'{head}    """{doc}"""\n',
        "canonical_solution": body, "entry_point": name,
        "test": f"def check(candidate):\n    {test.replace(name, 'candidate')}\n",
    }  # fmt: skip
    mbpp = {
        "task_id": number, "text": doc, "code": head + body, "test_list": [test],
        "test_setup_code": "",
    }  # fmt: skip
    return human, mbpp


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A data folder with a few problems of both code benchmarks."""
    folder = tmp_path_factory.mktemp("data")
    for number, table in enumerate(("humaneval/test", "mbpp/train")):
        file = folder / f"{table}.jsonl"
        file.parent.mkdir()
        file.write_text("".join(json.dumps(program(n)[number]) + "\n" for n in range(8)))
    return str(folder)


@pytest.fixture(params=MADE.items(), ids=list(MADE))
def made(request, programs):
    """An id and its options."""
    id, options = request.param
    return id, options | ({"data": programs} if options.get("data") == "PROGRAMS" else {})


def test_every_id_is_made():
    assert SINGLE.keys() == MADE.keys()


def test_gymnasium_finds_no_fault(made):
    id, options = made
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(id, **options).unwrapped)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_many_at_once(made, mode):
    id, options = made
    split = options.get("split", "train")
    memory = {"shared_memory": False} if mode == "async" else {}
    envs = gymnasium.make_vec(
        id, num_envs=3, vectorization_mode=mode, vector_kwargs=SAME_STEP | memory, **options
    )
    task = gymnasium.make(id, **options).unwrapped.task
    try:
        questions, infos = envs.reset(seed=5)
        asked = [task.examples(split)[task.find(split, name)] for name in infos["id"]]
        answers = [task.gold(example) for example in asked]
        following, rewards, ended, cut, after = envs.step((*answers[:2], ""))
        assert list(rewards) == [1, 1, 0] and all(ended) and not any(cut)
        assert list(after["final_obs"]) == list(questions) and len(following) == 3
        assert list(after["final_info"]["reason"]) == ["ok", "ok", "no_answer"]
        assert list(after["final_info"]["id"]) == list(infos["id"])
        # A text space in shared memory would show the first question for ever.
        assert any(envs.step(("", "", ""))[0][0] != questions[0] for _ in range(20))
    finally:
        envs.close()


def test_shared_memory_is_refused_and_not_silently_stale():
    with pytest.raises(ValueError, match="shared_memory=False"):
        gymnasium.make_vec(HIERARCHY, num_envs=1, vectorization_mode="async").close()


def test_every_row_can_be_asked_once_by_index_or_by_id():
    env = gymnasium.make("neuromas/BBH-v0", task="navigate", data=ROWS, split="test")
    task = env.unwrapped.task
    for index, example in enumerate(task.examples("test")):
        for options in ({"index": index}, {"id": example.id}, {"index": index, "id": None}):
            assert env.reset(options=options) == (example.question, {"id": example.id})
            question, reward, ended, cut, info = env.step(example.target)
            assert (question, reward, ended, cut) == (example.question, 1.0, True, False)
            assert info["target"] == info["answer"] == example.target


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": 512}, "index must be 0 to 511, not 512"),
        ({"index": -1}, "index must be 0 to 511"),
        ({"id": "test/512"}, "no example 'test/512' in its test split"),
        ({"id": "train/1"}, "no example 'train/1' in"),
        ({"index": 1, "id": "test/1"}, "not both"),
        ({"indx": 1}, "Did you mean 'index'"),
        ({"mask": [True]}, "unknown reset option 'mask'"),
    ],
)
def test_wrong_reset_options_say_what_would_be_right(options, message):
    env = gymnasium.make(HIERARCHY, split="test")
    with pytest.raises(InputError, match=message):
        env.reset(options=options)


def test_an_item_of_a_procedural_task_is_found_without_making_the_others(monkeypatch):
    task, made = make_task("hierarchy/max"), []
    make_item = Hierarchy.example
    monkeypatch.setattr(Hierarchy, "example", lambda *at: made.append(at[1:]) or make_item(*at))
    for make in (neuromas_v0.raw_env, neuromas_v0.parallel_env):
        env = make(task)
        env.reset(options={"id": "train/57"})
        assert env.episode.example.id == "train/57"
    assert made == [("train", 57)] * 2
    assert task.find("train", "train/99999") == 99_999
    for wrong in ("train/100000", "train/", "train/-1", "train/057", "train/5_7", "57", "train/٣"):
        with pytest.raises(InputError, match="has no example .* only train/0 to train/99999"):
            task.find("train", wrong)


ANSWERS, SCORES = ("7", "it is 7", "8"), ((1, 1), (0, 1), (0, 0))


class Form(Task):
    """The answer is 7, which a reply may give in the right form or in a sentence."""

    name, answer_format = "form", "Answer with the number only."

    def examples(self, split):
        return make_task("hierarchy/nav").examples(split)[:4]

    def score(self, example, reply):
        strict = float(reply == "7")
        return Score(strict, float("7" in reply), "ok" if "7" in reply else "wrong", reply)


@pytest.mark.parametrize(
    ("reward", "paid"),
    [("strict", (1, 0, 0)), ("extracted", (1, 1, 0)), ("both", (1, 0.5, 0))],
)
def test_reward_is_the_chosen_score_and_both_are_told(reward, paid):
    env = gymnasium.make("neuromas/Task-v0", task=Form(), reward=reward)
    network = neuromas_v0.raw_env(Form(), "1", reward=reward)
    for answer, pay, scores in zip(ANSWERS, paid, SCORES, strict=True):
        env.reset(seed=1)
        _, got, _, _, info = env.step(answer)
        assert got == pay and (info["strict"], info["extracted"]) == scores
        network.reset(options={"id": info["id"]})
        network.step(answer)
        assert network.rewards == {"node_0": pay}
    with pytest.raises(InputError, match="Did you mean 'strict'"):
        gymnasium.make("neuromas/Task-v0", task="signal", reward="strikt")


def test_questions_follow_from_the_seed():
    first, second = (gymnasium.make(HIERARCHY, kind="nav", leaves=4) for _ in range(2))
    twin = pickle.loads(pickle.dumps(second.unwrapped))
    for seed in (3, None, None):
        question, info = first.reset(seed=seed)
        assert (question, info) == second.reset(seed=seed) == twin.reset(seed=seed)
    assert first.reset(seed=4)[0] != question
    assert first.unwrapped.task.name == "hierarchy/nav:leaves=4"


@pytest.mark.parametrize("split", SPLITS)
def test_split_is_the_one_asked_for(split):
    env = gymnasium.make(HIERARCHY, split=split)
    assert env.reset(seed=0)[1]["id"].startswith(f"{split}/")


def test_render_shows_question_and_outcome():
    env = gymnasium.make("neuromas/Task-v0", task="signal", render_mode="ansi")
    env.reset(options={"index": 1})
    assert "Which symbol was shown?\n" in env.render() and "answer" not in env.render()
    env.step("A")
    assert env.render().endswith("answer: A (wrong, reward 0)")
    assert gymnasium.make("neuromas/Task-v0", task="signal").render_mode is None


def test_answers_that_are_no_answers():
    env = gymnasium.make("neuromas/Task-v0", task="signal", max_message_length=5).unwrapped
    with pytest.raises(InputError, match="call reset"):
        env.step("A")
    env.reset(seed=0)
    with pytest.raises(InputError, match="must be a text, not int"):
        env.step(3)
    with pytest.raises(InputError, match="lone surrogate at 1"):
        env.step("A\ud800")
    info = env.step("x" * 1_000_000)[-1]
    assert info["answer"] == "xxxxx" and info["reason"] == "unparsable"
    with pytest.raises(InputError, match=r"call reset\(\) for another"):
        env.step("A")


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("neuromas/BBH-v0", {"data": ROWS}, "give task=..., which task of 'bbh' to play"),
        ("neuromas/Task-v0", {}, "give task=..., which task to play"),
        ("neuromas/BBH-v0", {"data": ROWS, "task": "navigat"}, "Did you mean 'bbh/navigate'"),
        (HIERARCHY, {"kind": "mx"}, "Did you mean 'hierarchy/max'"),
        (HIERARCHY, {"leafs": 4}, "Did you mean 'leaves'"),
        (HIERARCHY, {"split": "dev"}, "unknown split 'dev'"),
        (HIERARCHY, {"max_message_length": 0}, "max_message_length must be at least 1"),
        ("neuromas/ARC-Easy-v0", {"data": "/no/such/folder"}, "is not there"),
    ],
)
def test_wrong_arguments_say_what_would_be_right(id, options, message):
    with pytest.raises(InputError, match=message):
        gymnasium.make(id, **options)
    with pytest.raises(InputError, match="unknown render mode 'human'"):
        gymnasium.make(HIERARCHY, render_mode="human")


def test_ids_can_be_written_down_and_name_tasks_that_exist():
    families = {name.partition(":")[0].partition("/")[0] for name in list_tasks()}
    for id, arguments in SINGLE.items():
        spec = gymnasium.spec(id)
        assert json.loads(spec.to_json())["kwargs"] == arguments == spec.kwargs
        assert arguments.get("family", "arc").partition("/")[0] in families


@pytest.mark.slow
def test_registering_imports_little():
    code = (
        "import sys, neuromas_env, gymnasium\n"
        "heavy = {'torch', 'transformers', 'datasets', 'neuromas_env.envs.single'}\n"
        "heavy &= set(sys.modules)\n"
        "env = gymnasium.make('neuromas/Task-v0', task='signal')\n"
        "print(heavy, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set() False"
