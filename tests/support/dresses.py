"""Dresses in which an answer keeps its meaning, and sentences that answer nothing."""

import json

DRESSES = {
    "bare": "{}",
    "full stop": "{}.",
    "white space": "\n  {}\t\n",
    "parentheses": "({})",
    "bold": "**{}**",
    "code": "`{}`",
    "typographic quotes": "“{}”",
    "byte order mark": "\ufeff{}\u200b",
    "box": "$\\boxed{{{}}}$",
    "box with text": "\\boxed{{\\text{{{}}}}}",
    "statement": "The answer is {}.",
    "statement in bold": "The answer is **{}**.",
    "final": "The final answer is: {}",
    "colon": "Answer: {}",
    "capitals": "ANSWER: **{}**",
    "bold cue": "**Final Answer:** {}",
    "next line": "The answer is:\n\n{}",
    "heading": "### Answer\n\n{}",
    "tag": "<answer>{}</answer>",
    "JSON": '{{"answer": "{}"}}',
    "fenced JSON": '```json\n{{"reason": "it fits", "answer": "{}"}}\n```',
    "conclusion": "So the answer is {}.",
    "opinion": "I think the answer is {}.",
    "pronoun": "It is {}.",
    "contraction": "It's {}",
    "closed thought": "<think>It could be anything.</think>\n{}",
    "after reasoning": "Let us think.\n\nThe rest follows.\n\nAnswer: {}",
    "before small talk": "The answer is {}.\n\nI hope this helps.",
    "German": "Die Antwort ist {}.",
    "French": "Réponse : {}",
    "Chinese": "答案是{}。",
    "end of turn": "{}<|im_end|>",
}

DENIALS = [
    "It is not {}.",
    "It isn't {}.",
    "The answer is not {}.",
    "The answer cannot be {}.",
    "It can't be {}.",
    "{} is wrong.",
    "{} is not correct.",
    "The wrong answer is {}.",
    "A common wrong answer is {}.",
    "Incorrect answer: {}",
    "I don't think the answer is {}.",
    "I doubt that it is {}.",
    "We can rule out {}.",
    "Answering {} would be a mistake.",
    "Do not answer {}.",
    "It is never {}.",
]
HYPOTHESES = [
    "It could be {}.",
    "It might be {}.",
    "Perhaps it is {}.",
    "Is it {}?",
    "Maybe {}?",
    "What if the answer is {}?",
    "Suppose the answer is {}.",
    "If it were {}, we would know.",
    "If the answer were {}, something else would follow.",
    "Some people say {}.",
    "Some say the answer is {}.",
    "One might think that it is {}.",
    "Many would say {}.",
]


def dress(name, answer):
    """Put an answer into a dress; JSON's escapes are JSON's."""
    inner = json.dumps(answer)[1:-1] if "JSON" in name else answer
    return DRESSES[name].format(inner)
