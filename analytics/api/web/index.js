"use strict";
const ask = async path => {
  const answer = await fetch("../" + path);
  if (!answer.ok) throw new Error(path + " answered " + answer.status);
  return path === "version" ? answer.text() : answer.json();
};
const show = (id, columns, rows, empty) => {
  const table = document.getElementById(id);
  table.replaceChildren();
  if (!rows.length) { table.insertRow().insertCell().textContent = empty; table.rows[0].className = "none"; return; }
  const line = (cells, tag) => {
    const row = table.insertRow();
    cells.forEach((text, at) => {
      const cell = row.appendChild(document.createElement(tag));
      cell.textContent = text ?? "";
      cell.className = columns[at].startsWith("#") ? "number" : tag === "td" ? "code" : "";
    });
  };
  line(columns.map(name => name.replace("#", "")), "th");
  rows.forEach(row => line(row, "td"));
};
const refresh = async () => {
  try {
    const [version, agents, flows, thresholds] =
      await Promise.all(["version", "agents/json", "flow/json", "threshold/json"].map(ask));
    document.getElementById("version").textContent = version;
    show("agents", ["address", "#datagrams", "#lost", "#flow samples", "#counter samples", "#last seen, s ago"],
      Object.entries(agents).map(([name, a]) => [name, a.sFlowDatagramsReceived, a.sFlowDatagramsLost,
        a.sFlowFlowSamples, a.sFlowCounterSamples, (a.lastSeen / 1000).toFixed(1)]),
      "None yet. Point a switch's sFlow here; counters without flow samples mean that sampling is off.");
    show("flows", ["name", "keys", "value", "filter", "#t"],
      Object.entries(flows).map(([name, f]) => [name, f.keys, f.value, f.filter, f.t]), "None defined.");
    show("thresholds", ["name", "metric", "#value", "by flow"],
      Object.entries(thresholds).map(([name, t]) => [name, t.metric, t.value, t.byFlow ? "yes" : "no"]),
      "None set.");
    document.getElementById("fault").textContent = "";
  } catch (fault) {
    document.getElementById("fault").textContent = "No answer: " + fault.message;
  }
};
refresh();
setInterval(refresh, 2000);
