package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/audit"
)

func (a *app) auditCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "audit", Short: "read and verify the audit log",
		Long: `audit works on the files of an audit log, in the folder DIR (kmsd-data/audit, or a copy of it). It needs no kmsd and no credentials, and may be used
while kmsd writes.`,
		Example: "  kmsctl audit verify kmsd-data/audit\n  kmsctl audit list kmsd-data/audit --since 24h --outcome AccessDeniedException\n  kmsctl audit tail kmsd-data/audit -f",
	}, a.auditVerifyCommand(), a.auditListCommand(), a.auditTailCommand())
}

// reportView is what verification has found.
type reportView struct {
	Verified bool     `json:"verified"`
	LogID    string   `json:"log_id"`
	Segments int      `json:"segments"`
	Records  uint64   `json:"records"`
	Bytes    int64    `json:"bytes"`
	Head     string   `json:"head"`
	TornTail int64    `json:"torn_tail_bytes"`
	Fault    *faultAt `json:"fault,omitempty"`
}

// faultAt is where a log does not verify.
type faultAt struct {
	Segment string `json:"segment"`
	Line    int    `json:"line"`
	Offset  int64  `json:"offset"`
	Seq     uint64 `json:"seq"`
	Reason  string `json:"reason"`
}

func headText(h audit.Head) string { return fmt.Sprintf("%d:%x", h.Seq, h.Hash) }

// parseHead reads what headText writes.
func parseHead(s string) (audit.Head, error) {
	var h audit.Head
	seq, hash, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	b, hexErr := hex.DecodeString(hash)
	if !ok || err != nil || hexErr != nil || n == 0 || len(b) != len(h.Hash) {
		return audit.Head{}, fmt.Errorf("--head %q: must be NUMBER:HASH as kmsctl audit verify prints it", shorten(s, 80))
	}
	h.Seq = n
	copy(h.Hash[:], b)
	return h, nil
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var heads []string
	cmd := &cobra.Command{
		Use: "verify DIR", Short: "prove that nothing in the log was altered, dropped or reordered", Args: takes("DIR"),
		Long: `verify reads the whole log and checks every record and the chain of hashes through all of them. If something is wrong it says where, and ends with
exit code 7. A log that was cut off at its end shows only against a head that was kept elsewhere: keep what verify prints as head, and give it
with --head the next time.`,
		Example: "  kmsctl audit verify kmsd-data/audit\n  kmsctl audit verify kmsd-data/audit --head 4711:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
	}
	cmd.Flags().StringArrayVar(&heads, "head", nil, "`NUMBER:HASH` of a record that is known to have been written (repeatable)")
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		var known []audit.Head
		for _, s := range heads {
			h, err := parseHead(s)
			if err != nil {
				return usageError{err}
			}
			known = append(known, h)
		}
		return a.auditVerify(ctx, args[0], known)
	})
	return cmd
}

func (a *app) auditVerify(ctx context.Context, dir string, known []audit.Head) error {
	var b *bar
	report, err := audit.Verify(ctx, dir, func(done, total int64) {
		if b == nil {
			made := a.bar(total, "verified")
			b = &made
		}
		b.set(done)
	}, known...)
	if b != nil {
		b.end()
	}
	v := reportView{
		Verified: err == nil, LogID: report.LogID.String(), Segments: report.Segments, Records: report.Records, Bytes: report.Bytes,
		Head: headText(report.Last), TornTail: report.TornTail,
	}
	var fault *audit.VerifyError
	if errors.As(err, &fault) {
		v.Fault = &faultAt{fault.Segment, fault.Line, fault.Offset, fault.Seq, fault.Reason}
	}
	if err == nil || fault != nil && a.output != formatTable {
		if printErr := a.emit(v, v.table); printErr != nil {
			return printErr
		}
	}
	return err
}

func (v reportView) table() view {
	t := pairs("verified", "OK", "log id", v.LogID, "records", fmt.Sprint(v.Records), "bytes", fmt.Sprint(v.Bytes), "segments", fmt.Sprint(v.Segments), "head", v.Head)
	if v.TornTail > 0 {
		t.rows = append(t.rows, []string{"unfinished", fmt.Sprintf("%d bytes at the end: a write going on, or one that was interrupted before it was acknowledged", v.TornTail)})
	}
	return t
}

// filterFlags choose records.
type filterFlags struct {
	f            audit.Filter
	since, until string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.f.Key, "key", "", "only records about the `KEY`: id, ARN, alias or alias ARN")
	fl.StringVar(&f.f.Principal, "principal", "", "only calls of the `PRINCIPAL`: ARN or user name")
	fl.StringVar(&f.f.Event, "event", "", "only the operation `NAME`, such as Decrypt")
	fl.StringVar(&f.f.Outcome, "outcome", "", "only `OUTCOME`: a status (OK), an error (AccessDeniedException) or a decision (DENY)")
	fl.StringVar(&f.f.RequestID, "request-id", "", "only the call with this `ID`, which errors of kmsctl show")
	fl.StringVar(&f.since, "since", "", "only from this `TIME` on: RFC 3339, a date, or how long ago (36h, 7d)")
	fl.StringVar(&f.until, "until", "", "only before this `TIME`: RFC 3339, a date, or how long ago")
}

func (f *filterFlags) filter() (audit.Filter, error) {
	var err error
	if f.f.Since, err = instant("since", f.since); err != nil {
		return audit.Filter{}, err
	}
	if f.f.Until, err = instant("until", f.until); err != nil {
		return audit.Filter{}, err
	}
	return f.f, nil
}

func (a *app) auditListCommand() *cobra.Command {
	var flags filterFlags
	cmd := &cobra.Command{
		Use: "list DIR", Short: "list records, the oldest first", Args: takes("DIR"),
		Long: `list prints the records that fit all filters: a line each, or with -o json the whole records as an array. It does not check the chain:
kmsctl audit verify does.`,
		Example: "  kmsctl audit list kmsd-data/audit --principal alice --since 7d\n  kmsctl audit list kmsd-data/audit --request-id 6f0b1c9e-8e0b-4f5e-9c55-0d7f3c1a2b3c -o json",
	}
	flags.add(cmd)
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		f, err := flags.filter()
		if err != nil {
			return err
		}
		out := bufio.NewWriterSize(a.stdout, 64<<10)
		p := recordPrinter{a: a, out: out, array: true}
		err = audit.Scan(ctx, args[0], f, p.print)
		if err == nil {
			err = p.end()
		}
		return errors.Join(err, out.Flush())
	})
	return cmd
}

// maxTail is how many records tail keeps in memory at most.
const maxTail = 100_000

func (a *app) auditTailCommand() *cobra.Command {
	var flags filterFlags
	var follow bool
	var last int
	cmd := &cobra.Command{
		Use: "tail DIR", Short: "print the last records, and those to come", Args: takes("DIR"),
		Long:    "tail prints the last records that fit all filters, and with -f every further one until it is interrupted. With -o json each record is one line.",
		Example: "  kmsctl audit tail kmsd-data/audit -n 50\n  kmsctl audit tail kmsd-data/audit -f --outcome DENY",
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written, until interrupted")
	cmd.Flags().IntVarP(&last, "lines", "n", 10, "how many records that are there, at most 100000")
	flags.add(cmd)
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		f, err := flags.filter()
		if err != nil {
			return err
		}
		if last < 0 || last > maxTail {
			return usage("-n %d: must be 0 to %d", last, maxTail)
		}
		p := recordPrinter{a: a, out: a.stdout}
		if follow {
			return audit.Follow(ctx, args[0], last, f, p.print)
		}
		records, err := lastRecords(ctx, args[0], f, last)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := p.print(r); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

// lastRecords returns the last n records that f chooses, the oldest first.
func lastRecords(ctx context.Context, dir string, f audit.Filter, n int) ([]*audit.Record, error) {
	var ring []*audit.Record
	next := 0
	err := audit.Scan(ctx, dir, f, func(r *audit.Record) error {
		if n == 0 {
			return nil
		}
		kept := *r
		kept.Raw = slices.Clone(r.Raw)
		if len(ring) < n {
			ring = append(ring, &kept)
			return nil
		}
		ring[next] = &kept
		next = (next + 1) % n
		return nil
	})
	return append(ring[next:], ring[:next]...), err
}

// recordPrinter prints records one by one, so that a long log takes no memory.
type recordPrinter struct {
	a       *app
	out     io.Writer
	array   bool // JSON is one array
	printed int
}

const recordLine = "%-24s  %-8s  %-28s  %-24s  %-36s  %-36s  %s\n"

func (p *recordPrinter) print(r *audit.Record) error {
	p.printed++
	switch p.a.output {
	case formatJSON:
		return p.json(r)
	case formatYAML:
		b, err := toYAML(slices.Concat([]byte("["), r.Raw, []byte("]")))
		if err != nil {
			return err
		}
		_, err = p.out.Write(b)
		return err
	}
	if p.printed == 1 {
		header := fmt.Sprintf(recordLine, "TIME", "RECORD", "EVENT", "OUTCOME", "KEY", "REQUEST", "PRINCIPAL")
		if _, err := fmt.Fprintln(p.out, p.a.colour(bold, strings.TrimSuffix(header, "\n"))); err != nil {
			return err
		}
	}
	outcome := r.Outcome.ErrorCode
	if outcome == "" {
		outcome = r.Outcome.Status
	}
	if r.Phase == audit.PhaseIntent {
		outcome = "(intended)"
	}
	cells := []any{r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), fmt.Sprint(r.Seq), r.EventName, outcome, r.Key.ID, r.RequestID, r.Actor.ARN}
	for i, c := range cells {
		cells[i] = printable(c.(string))
		if c == "" {
			cells[i] = "-"
		}
	}
	_, err := fmt.Fprintf(p.out, recordLine, cells...)
	return err
}

func (p *recordPrinter) json(r *audit.Record) error {
	before := ""
	switch {
	case p.array && p.printed == 1:
		before = "[\n"
	case p.array:
		before = ",\n"
	}
	after := "\n"
	if p.array {
		after = ""
	}
	raw := r.Raw
	if isTerminal(p.a.stdout) {
		raw = escaped(raw)
	}
	_, err := p.out.Write(slices.Concat([]byte(before), raw, []byte(after)))
	return err
}

// end closes an array.
func (p *recordPrinter) end() error {
	if p.printed == 0 && p.a.output == formatTable {
		p.a.say("no records fit")
		return nil
	}
	text := ""
	switch {
	case p.a.output == formatTable || p.a.output == formatYAML && p.printed > 0:
	case p.printed == 0:
		text = "[]\n"
	default:
		text = "\n]\n"
	}
	_, err := fmt.Fprint(p.out, text)
	return err
}
