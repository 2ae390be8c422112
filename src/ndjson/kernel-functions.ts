/**
 * The kernel's functions (kernel/*.ts say what they do). Arguments are addresses and numbers; `stride` counts bytes.
 * @see kernel/README.md
 */
export interface Kernel {
  heapBase(): number
  scan(
    block: number,
    from: number,
    end: number,
    names: number,
    nameCount: number,
    fieldCount: number,
    strict: number,
    spans: number,
    most: number,
    odd: number,
    result: number,
  ): void
  alikeBytes(bytes: number): number
  scanAlike(
    block: number,
    from: number,
    end: number,
    names: number,
    nameCount: number,
    fieldCount: number,
    spans: number,
    most: number,
    odd: number,
    result: number,
    work: number,
    room: number,
  ): void
  plainLines(from: number, end: number): number
  plainAscii(): number
  fold(from: number, end: number, crc: number, out: number): number
  kinds(block: number, span: number, stride: number, rows: number, out: number): void
  numbers(block: number, span: number, stride: number, rows: number, kinds: number, values: number, odd: number): number
  decimals(
    block: number,
    span: number,
    stride: number,
    rows: number,
    kinds: number,
    mantissas: number,
    scales: number,
  ): void
  equalsString(
    block: number,
    span: number,
    stride: number,
    rows: number,
    wanted: number,
    length: number,
    out: number,
  ): void
  times(block: number, span: number, stride: number, rows: number, out: number): number
  gather(block: number, spans: number, stride: number, from: number, to: number, mask: number, out: number): number
  render(
    block: number,
    spans: number,
    stride: number,
    from: number,
    to: number,
    members: number,
    count: number,
    out: number,
    limit: number,
  ): number
  renderedBytes(): number
  partitionRows(block: number, span: number, stride: number, rows: number, partitions: number, targets: number): number
  scatter(
    block: number,
    spans: number,
    stride: number,
    rows: number,
    targets: number,
    partitions: number,
    table: number,
    out: number,
    ranks: number,
  ): void
  textRecords(
    lines: number,
    from: number,
    end: number,
    names: number,
    length: number,
    to: number,
    spans: number,
    bytesARow: number,
    field: number,
    most: number,
  ): void
  textDone(): number
  gatherPieces(list: number, from: number, to: number, out: number, limit: number): number
  listLines(from: number, end: number, list: number): void
  gatherOrdered(list: number, order: number, from: number, to: number, out: number, limit: number): number
  splice(
    block: number,
    spans: number,
    stride: number,
    from: number,
    to: number,
    ids: number,
    table: number,
    out: number,
    limit: number,
  ): number
  copiedBytes(): number
  intern(
    table: number,
    block: number,
    spans: number,
    stride: number,
    from: number,
    to: number,
    fields: number,
    parts: number,
    base: number,
    positions: number,
    ids: number,
  ): number
  append(
    table: number,
    block: number,
    spans: number,
    stride: number,
    count: number,
    fields: number,
    parts: number,
    base: number,
  ): void
  internSpelling(
    table: number,
    spelt: number,
    speltLength: number,
    canonical: number,
    length: number,
    position: number,
  ): number
  joined(out: number, block: number, spansOfRow: number, fields: number, parts: number): number
  keyLines(
    table: number,
    rows: number,
    width: number,
    from: number,
    to: number,
    pieces: number,
    count: number,
    out: number,
    limit: number,
  ): number
  keyLinesBytes(): number
  rehash(table: number, slots: number, mask: number): void
  textBytes(table: number, from: number, to: number): number
  exportKeys(table: number, from: number, to: number, parts: number, out: number, ends: number, base: number): number
  order(table: number, ids: number, scratch: number, counts: number): void
  orderOf(positions: number, size: number, ids: number, scratch: number, counts: number): void
  spansOfEnds(ends: number, count: number, base: number, spans: number): void
  chooseParts(
    table: number,
    from: number,
    to: number,
    parts: number,
    shift: number,
    mask: number,
    chosen: number,
    partitions: number,
  ): number
  scatterKeys(table: number, from: number, to: number, parts: number, chosen: number, partitions: number): void
  compareBytes(a: number, aLength: number, b: number, bLength: number): number
  hasMembers(line: number, members: number, count: number): number
  tailOf(line: number, members: number, count: number, out: number): number
  mergeLines(runs: number, heap: number, count: number, out: number, limit: number): number
  mergedBytes(): number
  sinkRun(heap: number, count: number, at: number): void
}
