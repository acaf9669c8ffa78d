import pytest

from srpo.grading.answers import extract_answer

FIVE_BLOCKS = "<think>a</think> <answer>3</answer> <reflection>no</reflection> <think>b</think> <answer>5</answer>"


@pytest.mark.parametrize(
    ("text", "answer", "how"),
    [
        (FIVE_BLOCKS, "5", "answer block"),
        ("<answer>7</answer>", "7", "answer block"),
        ("<ANSWER> 7 </ANSWER> trailing", "7", "answer block"),
        (r"<answer>so \boxed{7}</answer>", "7", "answer block"),
        ("<answer>The answer is (B).</answer>", "(B).", "answer block"),
        (r"\boxed{3} no, wait, look again: \boxed{\frac{1}{2}}", r"\frac{1}{2}", "box"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}", "box"),
        (r"\boxed{1}, \boxed{2}", "1 , 2", "box"),
        (r"<think>\boxed{40}</think> \boxed{140}", "140", "box"),
        (r"\boxed 5", "5", "box"),
        ("\x08oxed{5}", "5", "box"),
        ("Some steps.\nAnswer: 72", "72", "marker"),
        ("**Answer:** 72", "72", "marker"),
        ("The final answer is $72$. I hope it is correct.", "$72$", "marker"),
        ("The answer is:\n\\[\n72\n\\]", "72", "marker"),
        ("#### 72", "72", "marker"),
        ("答案：C", "C", "marker"),
        ("<Answer>: <<B>>", "<<B>>", "marker"),
        ("7 cm", "7 cm", "whole text"),
    ],
)
def test_takes_the_final_answer(text: str, answer: str, how: str) -> None:
    found = extract_answer(text)
    assert (found.text, found.how) == (answer, how)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("<answer></answer>", "empty"),
        (FIVE_BLOCKS.replace(">5<", "> <"), "empty"),
        ("<answer>3</answer> <reflection>Let me", "not finished"),
        ("<answer>3</answer> <reflection>ok</reflection> <think>b", "not finished"),
        ("<answer>3</answer> <reflection>ok</reflection> <think>b</think> <answer>5", "not closed"),
        ("<answer>3", "not closed"),
        (r"<think>so \boxed{3}", "inside <think>"),
        (r"<think>so \boxed{3}</think>", "nothing follows"),
        ("<think><answer>3</answer></think>", "nothing follows the thinking"),
        ("<think>a</think><answer>3</answer></think>", "inside the thinking"),
        (r"\boxed{3} and then \boxed{5", "not closed"),
        (r"\boxed{}", "empty"),
        ("word " * 200, "no answer is marked"),
    ],
)
def test_says_why_there_is_no_answer(text: str, why: str) -> None:
    found = extract_answer(text)
    assert found.text is None
    assert why in found.why


def test_a_conclusion_is_found_at_the_end_of_a_long_text() -> None:
    text = "First we look at the bars. " * 40 + "Therefore the total is 12 apples."
    assert extract_answer(text).text == "Therefore the total is 12 apples."
