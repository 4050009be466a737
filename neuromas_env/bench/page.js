"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const make = (tag, text, kind) => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

// Tables: sorted by a click on a head, filtered by the text of a row's names.
const value = (row, column) => {
  const text = row.cells[column].textContent.replace(/,/g, "");
  const number = parseFloat(text.replace(/^</, ""));
  return Number.isNaN(number) || row.cells[column].className === "name" ? text : number;
};
const compare = (a, b) => (typeof a === typeof b
  ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
function sort(head) {
  const table = head.closest("table"), column = head.cellIndex;
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].sort(
    (a, b) => compare(value(a, column), value(b, column)) * (down ? -1 : 1));
  table.tBodies[0].append(...rows);
}
for (const head of document.querySelectorAll("#tables th")) {
  head.tabIndex = 0;
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(head); });
}
byId("filter").addEventListener("input", () => {
  const wanted = byId("filter").value.toLowerCase();
  for (const row of document.querySelectorAll("#tables tbody tr")) {
    const names = [...row.querySelectorAll(".name")].map((cell) => cell.textContent);
    row.hidden = !names.join(" ").toLowerCase().includes(wanted);
  }
});

// Transcripts: one question, answered by one or two methods.
const tasks = [...new Set(data.runs.map((run) => run.task))];
const runs = () => data.runs.filter((run) => run.task === tasks[byId("task").value]);
const fill = (select, texts) =>
  select.replaceChildren(...texts.map(([text, key]) => new Option(text, key)));
const credit = (answer) =>
  answer.error || !answer.extracted ? "wrong" : answer.extracted < 1 ? "partly" : "right";
const MARKS = { wrong: "\u2717", partly: "\u25d0", right: "\u2713" };
const mark = (answer) => (answer ? (answer.error ? "!" : MARKS[credit(answer)]) : "");
const points = (score) => +score.toFixed(3);
const answerOf = (run, id) => run && run.answers.find((answer) => answer.row_id === id);

function showTask() {
  const names = runs().map((run, i) => [run.method, i]);
  fill(byId("method"), names);
  fill(byId("beside"), [["nobody", ""], ...names]);
  byId("beside").value = names.length > 1 ? 1 : "";
  showMethods();
}
function showMethods() {
  const first = runs()[byId("method").value], second = runs()[byId("beside").value];
  const kept = byId("question").value;
  const rank = (answer) => Object.keys(MARKS).indexOf(credit(answer));
  const answers = [...first.answers].sort((a, b) => rank(a) - rank(b) || a.row - b.row);
  fill(byId("question"), answers.map((answer) => [
    mark(answer) + mark(answerOf(second, answer.row_id)) + " " + answer.row_id, answer.row_id]));
  if (answerOf(first, kept)) byId("question").value = kept;
  showQuestion();
}
function showQuestion() {
  const id = byId("question").value, first = runs()[byId("method").value];
  const [question, target] = data.questions[first.task][id];
  byId("asked").replaceChildren(
    make("h3", "Question"), make("pre", question), make("p", "Target: " + target));
  show(byId("left"), first, answerOf(first, id));
  const second = runs()[byId("beside").value];
  show(byId("right"), second, answerOf(second, id));
}
function show(place, run, answer) {
  place.replaceChildren();
  if (!run) return;
  place.append(make("h3", run.method));
  if (!answer) {
    place.append(make("p", "did not answer this question"));
    return;
  }
  const verdict = answer.error ? "failed: " + answer.error
    : answer.reason + "; strict " + points(answer.strict) +
      ", extracted " + points(answer.extracted) + (answer.tie ? "; a tie was broken" : "");
  const network = document.createElement("div");
  network.className = "network";
  network.innerHTML = data.networks[run.network];
  place.append(make("pre", answer.answer), make("p", verdict, credit(answer)), network);
  const spoke = new Map(answer.said.map((said) => [said.node, said]));
  for (const text of network.querySelectorAll("svg > text")) {
    const node = text.textContent, circle = text.previousElementSibling;
    circle.dataset.node = node;
    for (const part of [circle, text]) {
      part.classList.toggle("silent", !spoke.has(node));
      part.addEventListener("click", () => choose(place, node));
    }
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = (run.labels[node] || node) + "\n" +
      (spoke.has(node) ? spoke.get(node).text : "did not act");
    circle.append(title);
  }
  const rounds = answer.said.some((said) => said.round);
  for (const said of answer.said) {
    const section = make("div", "", "said");
    section.dataset.node = said.node;
    const tokens = said.tokens === undefined ? "no model call"
      : said.prompt_tokens + " prompt tokens, " + said.tokens + " completion tokens" +
        (said.cut ? ", cut off" : "");
    const label = run.labels[said.node] ? ", " + run.labels[said.node] : "";
    const round = rounds ? ", round " + ((said.round || 0) + 1) : "";
    section.append(make("strong", said.node + label + round + " "), make("small", tokens),
      make("pre", said.text));
    place.append(section);
  }
}
function choose(place, node) {
  for (const element of place.querySelectorAll("[data-node]"))
    element.classList.toggle("chosen", element.dataset.node === node);
  const said = place.querySelector('.said[data-node="' + node + '"]');
  if (said) said.scrollIntoView({ block: "nearest" });
}
if (data.runs.length) {
  byId("task").addEventListener("change", showTask);
  byId("method").addEventListener("change", showMethods);
  byId("beside").addEventListener("change", showMethods);
  byId("question").addEventListener("change", showQuestion);
  fill(byId("task"), tasks.map((task, i) => [task, i]));
  showTask();
} else {
  byId("transcripts").remove();
}
