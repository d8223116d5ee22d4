// Package audit keeps one durable, provable record of every call: a hash chain of canonical JSON lines in
// segment files, written so that no answer leaves before its record is on the disk.
//
// [Log] writes, and there is one writer per folder. [Scan] and [Follow] read, [Verify] proves that nothing
// was altered, dropped, doubled or reordered. The format is described in docs/formats/audit-log.md; it can be
// checked without this package.
//
// The package does not decide what is recorded (the caller fills an [Event] by an allow-list of its own, and must
// put no secret into it), does not ship, index, sign or expire records, and knows no storage but local files.
//
// Trust: who can write the folder can cut off the tail of the log, or replace the whole of it by another chain,
// and [Verify] notices that only when it is given a [Head] that was kept elsewhere. Every lesser change (an altered
// byte, a record removed, doubled, moved or brought in from another log) is noticed without one. Who can
// read the folder reads who did what to which key, and the encryption contexts; no key material, plaintext or ciphertext.
package audit
