// A result of the benchmark as a Markdown table.
const time = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`)

/** `rows`: only these, when given. */
export function markdown({ date, machine, versions, rows }, only = rows) {
  const shown = rows.filter((row) => only.some(({ area, name }) => area === row.area && name === row.name))
  const cell = (text) => text.replaceAll('|', '\\|')
  const lines = shown.map(({ work, unit, bar, ms, ratio, value, met, notes = [] }) => {
    const peers = Object.entries(ms ?? {}).filter(([name]) => name !== 'beck')
    const cells = ms
      ? [
          time(ms.beck),
          [...peers.map(([name, peer]) => `${name} ${time(peer)}`), ...notes].join(', '),
          `**${ratio.toFixed(2)}** × ${bar.against}`,
          `${bar.ratio}`,
        ]
      : [`${value.toFixed(value < 10 ? 1 : 0)} ${unit}`, '', '', `${bar.most}`]
    return `| ${[`\`${work}\``, ...cells].map(cell).join(' | ')}${met ? '' : ' (missed)'} |`
  })
  const tools = Object.entries(versions).map(([name, version]) => version && `${name} ${version}`)
  return [
    '| work | beck | peers | ratio | at most |',
    '|---|---|---|---|---|',
    ...lines,
    '',
    // What the figures are is said beside the table, in README.md.
    `${date}, ${machine.cpu}, ${machine.memory}, ${machine.platform}; ${tools.filter(Boolean).join(', ')}.`,
  ].join('\n')
}
