// The interactive page: reads window.e2hExplore (explore_data.js) and draws one plot.
(() => {
  const { costs, errors, entries } = window.e2hExplore;
  const at = (id) => document.getElementById(`explore-${id}`);
  const percent = (x) => `${x < 0 ? "−" : ""}${Math.abs(100 * x).toFixed(0)} %`;
  const points = (x) => `${x < 0 ? "−" : "+"}${Math.abs(100 * x).toFixed(1)}`;
  const span = (low, high) => `[${points(low)}, ${points(high)}]`;
  const unique = (values) => [...new Set(values)];

  // Fill a list, and keep what was chosen where it is still offered; else choose the first of `values`.
  function offer(select, values, words, order = (x) => x) {
    const before = select.value;
    select.replaceChildren(...order(values).map((value) => new Option(words(value), value)));
    select.value = values.map(String).includes(before) ? before : values[0];
  }
  const rising = (values) => [...values].sort((a, b) => a - b);

  const name = (entry) => `${entry.data}, ${entry.measure}`;
  offer(at("data"), unique(entries.map(name)), (x) => x);
  offer(at("easy"), unique(errors.map(([easy]) => easy)), percent, rising);

  function draw(rows) {
    const box = { left: 66, right: 620, top: 14, bottom: 250 };
    const ends = rows.flat().concat(0).map((x) => 100 * x);
    const low = Math.floor(Math.min(...ends) / 5) * 5, high = Math.ceil(Math.max(...ends) / 5) * 5;
    const x = (cost) => box.left + ((box.right - box.left) * Math.log2(cost)) / Math.log2(costs[costs.length - 1]);
    const y = (value) => box.bottom - ((box.bottom - box.top) * (value - low)) / (high - low || 1);
    const chosen = costs[at("cost").value];
    const path = (column) => rows.map((row, i) => `${x(costs[i])},${y(100 * row[column])}`);
    const ticks = [];
    for (let value = low; value <= high; value += Math.max(5, Math.round((high - low) / 25) * 5)) ticks.push(value);
    at("figure").innerHTML =
      ticks.map((v) => `<line x1="${box.left}" x2="${box.right}" y1="${y(v)}" y2="${y(v)}" class="${v ? "grid" : "zero"}"/>` +
        `<text x="${box.left - 8}" y="${y(v) + 4}" text-anchor="end">${v > 0 ? "+" : ""}${v}</text>`).join("") +
      costs.map((c) => `<text x="${x(c)}" y="${box.bottom + 20}" text-anchor="middle">${c}</text>`).join("") +
      `<text x="${(box.left + box.right) / 2}" y="${box.bottom + 42}" text-anchor="middle">price of a hard label (an easy one costs 1)</text>` +
      `<text x="14" y="${(box.top + box.bottom) / 2}" text-anchor="middle" transform="rotate(-90 14 ${(box.top + box.bottom) / 2})">` +
      `easy minus hard, points</text>` +
      `<polygon class="band" points="${path(1).concat(path(2).reverse()).join(" ")}"/>` +
      `<polyline class="line" points="${path(0).join(" ")}"/>` +
      rows.map((row, i) => `<circle cx="${x(costs[i])}" cy="${y(100 * row[0])}" r="${costs[i] === chosen ? 7 : 4}"/>`).join("");
  }

  function update() {
    const some = entries.filter((entry) => name(entry) === at("data").value);
    offer(at("method"), some.map((entry) => entry.method), (x) => x);
    const entry = some.find((one) => one.method === at("method").value);
    const easy = Number(at("easy").value);
    offer(at("hard"), errors.filter((pair) => pair[0] === easy).map((pair) => pair[1]), percent, rising);
    const which = errors.findIndex(([e, h]) => e === easy && h === Number(at("hard").value));
    const place = Number(at("cost").value), { regime, numbers } = entry.sgr[which];
    const [zero, onEasy, onHard, gap, gapLow, gapHigh, ratio, low, high] = numbers;
    at("price").textContent = costs[place];
    at("ratio").textContent =
      `With as many easy as hard labels (${entry.budget}; ${entry.hard_items} hard questions, ${entry.seeds} draws): chance ${percent(entry.chance)}, zero-shot ` +
      `${percent(zero)}, easy ${percent(onEasy)}, hard ${percent(onHard)}. Gap ${points(gap)} ${span(gapLow, gapHigh)} points; ` +
      (regime === "ok" ? `supervision gap recovered: ${percent(ratio)} [${percent(low)}, ${percent(high)}].`
        : `supervision gap recovered: not given (${regime}).`);
    const [difference, least, most] = entry.prices[which][place];
    const verdict = least > 0 ? "easy labels are the better buy" : most < 0 ? "hard labels are the better buy" : "not separated";
    const bought = entry.budget / costs[place];
    at("buy").textContent = `A budget of ${entry.budget} buys ${entry.budget} easy or ` +
      `${Number.isInteger(bought) ? bought : `about ${bought.toFixed(1)}`} hard labels: ` +
      `easy minus hard ${points(difference)} ${span(least, most)} points; ${verdict}.`;
    draw(entry.prices[which]);
  }

  for (const id of ["data", "method", "easy", "hard", "cost"]) at(id).addEventListener("input", update);
  update();
})();
