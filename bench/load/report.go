package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"text/tabwriter"
)

// report is the content of bench-out/latest.json.
type report struct {
	Machine machine  `json:"machine"`
	Results []result `json:"results"`
}

// result is a server's figures at one point: the medians of its rounds.
type result struct {
	Server      string  `json:"server"`
	Operation   string  `json:"operation"`
	Credential  string  `json:"credential"`
	Bytes       int     `json:"bytes"`
	Callers     int     `json:"callers"`
	Connections int     `json:"connections"`
	AnswerBytes int     `json:"answer_bytes"`
	Rounds      int     `json:"rounds"`    // that the figures are of
	LeftOut     int     `json:"disturbed"` // rounds that were left out because something else used the machine
	RPS         float64 `json:"rps"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	ServerCPU   float64 `json:"server_cpu_us"`
	ClientCPU   float64 `json:"client_cpu_us"`
	OtherCPU    float64 `json:"other_cpu_max"` // of the round that was disturbed most
	// Ratio is the median of what the rounds gave, each against the echo measured just before: it is not RPS by the echo's RPS.
	Ratio    float64 `json:"ratio_to_echo"`
	RatioMin float64 `json:"ratio_min"`
	RatioMax float64 `json:"ratio_max"`
}

// point is what is measured on both servers.
type point struct {
	operation, credential       string
	bytes, callers, connections int
}

func (s sample) point() point {
	return point{s.Operation, s.Credential, s.Bytes, s.Callers, s.Connections}
}

// The servers.
const (
	echo = "echo"
	kmsd = "kmsd"
)

func reportCommand(args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("load report", flag.ContinueOnError)
	in := f.String("samples", "", "a file of what load run printed, in the order of the runs (required)")
	diskFile := f.String("disk", "", "a file of what load disk printed (required)")
	commit := f.String("commit", "unknown", "the commit that was measured")
	load := f.Float64("load-average", 0, "the load average before the run")
	out := f.String("out", "", "the file to write (required)")
	if err := parse(f, args, stderr); err != nil {
		return err
	}
	if *in == "" || *diskFile == "" || *out == "" {
		return errors.New("--samples, --disk and --out are required")
	}
	samples, err := readSamples(*in)
	if err != nil {
		return err
	}
	var d disk
	b, err := os.ReadFile(*diskFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("reading %s: %w", *diskFile, err)
	}
	r := report{}
	if r.Results, err = summarize(samples); err != nil {
		return err
	}
	if r.Machine, err = thisMachine(*commit, *load, d); err != nil {
		return err
	}
	if b, err = json.MarshalIndent(r, "", "  "); err != nil {
		return err
	}
	if err := os.WriteFile(*out, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return r.print(stdout)
}

func readSamples(path string) ([]sample, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	var all []sample
	for d := json.NewDecoder(f); ; {
		var s sample
		switch err := d.Decode(&s); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		all = append(all, s)
	}
}

// pair is a round: the echo server, and kmsd right after it.
type pair struct{ echo, kmsd sample }

// maxOtherCPU is how many cores may be busy with something else in a round that counts. Kernel threads and interrupts of a quiet
// machine stay far below.
const maxOtherCPU = 0.2

func (p pair) quiet() bool { return max(p.echo.OtherCPU, p.kmsd.OtherCPU) <= maxOtherCPU }

// byPoint sorts samples by what they are of, in the order in which that was measured first. :: point → server → its samples
func byPoint[P comparable](samples []sample, pointOf func(sample) P) (points []P, rounds map[P]map[string][]sample, err error) {
	if len(samples) == 0 {
		return nil, nil, errors.New("there are no measurements")
	}
	rounds = map[P]map[string][]sample{}
	for _, s := range samples {
		p := pointOf(s)
		if rounds[p] == nil {
			points = append(points, p)
			rounds[p] = map[string][]sample{}
		}
		rounds[p][s.Server] = append(rounds[p][s.Server], s)
	}
	return points, rounds, nil
}

// minQuiet is how many quiet rounds are enough to leave out the others.
const minQuiet = 2

// summarize makes two results of the samples of each point, the echo's first. The n-th sample of kmsd is compared with the n-th of the
// echo. Where there are enough quiet rounds the others do not count. It fails if one of a pair is missing, or if the two
// servers did not exchange messages of the same sizes.
func summarize(samples []sample) ([]result, error) {
	points, rounds, err := byPoint(samples, sample.point)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, p := range points {
		pairs, err := pairUp(rounds[p][echo], rounds[p][kmsd])
		if err != nil {
			return nil, fmt.Errorf("%+v: %w", p, err)
		}
		one, other := compare(pairs)
		results = append(results, one, other)
	}
	return results, nil
}

func pairUp(e, k []sample) ([]pair, error) {
	if len(e) == 0 || len(e) != len(k) {
		return nil, fmt.Errorf("measured %d times on the echo server and %d times on kmsd", len(e), len(k))
	}
	var pairs []pair
	for i := range k {
		if apart(e[i].RequestBytes, k[i].RequestBytes) || apart(e[i].AnswerBytes, k[i].AnswerBytes) {
			return nil, fmt.Errorf("kmsd exchanges %d and %d bytes, the echo server %d and %d: they cannot be compared", k[i].RequestBytes, k[i].AnswerBytes, e[i].RequestBytes, e[i].AnswerBytes)
		}
		pairs = append(pairs, pair{e[i], k[i]})
	}
	return pairs, nil
}

// compare makes the two results of a point.
func compare(pairs []pair) (e, k result) {
	used := slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool { return !p.quiet() })
	if len(used) < minQuiet {
		used = pairs
	}
	var ratios []float64
	var ofEcho, ofKmsd []sample
	for _, p := range used {
		ratios = append(ratios, p.kmsd.RPS/p.echo.RPS)
		ofEcho, ofKmsd = append(ofEcho, p.echo), append(ofKmsd, p.kmsd)
	}
	e, k = medians(ofEcho), medians(ofKmsd)
	e.LeftOut, k.LeftOut = len(pairs)-len(used), len(pairs)-len(used)
	e.Ratio, e.RatioMin, e.RatioMax = 1, 1, 1
	k.Ratio, k.RatioMin, k.RatioMax = round(median(ratios), 3), round(slices.Min(ratios), 3), round(slices.Max(ratios), 3)
	return e, k
}

// apart reports whether two messages differ in size by more than their checksums can: those are numbers of 1 to 5 bytes, at
// most two in a message, and nearly always of 4 or 5.
func apart(a, b int) bool { return max(a, b)-min(a, b) > 4 }

// medians makes one result of the rounds of a server at a point.
func medians(rounds []sample) result {
	of := func(figure func(sample) float64, digits int) float64 {
		var all []float64
		for _, s := range rounds {
			all = append(all, figure(s))
		}
		return round(median(all), digits)
	}
	s := rounds[0]
	return result{
		Server: s.Server, Operation: s.Operation, Credential: s.Credential, Bytes: s.Bytes, Callers: s.Callers, Connections: s.Connections,
		AnswerBytes: s.AnswerBytes, Rounds: len(rounds),
		RPS:       of(func(s sample) float64 { return s.RPS }, 0),
		P50:       of(func(s sample) float64 { return s.P50 }, 0),
		P99:       of(func(s sample) float64 { return s.P99 }, 0),
		ServerCPU: of(func(s sample) float64 { return s.ServerCPU }, 1),
		ClientCPU: of(func(s sample) float64 { return s.ClientCPU }, 1),
		OtherCPU:  round(slices.MaxFunc(rounds, func(a, b sample) int { return cmp.Compare(a.OtherCPU, b.OtherCPU) }).OtherCPU, 2),
	}
}

// median is the middle one of all, or the mean of the two in the middle. It sorts all, which must not be empty.
func median(all []float64) float64 {
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

func round(v float64, digits int) float64 {
	f := math.Pow10(digits)
	return math.Round(v*f) / f
}

// print writes the tables that people read.
func (r report) print(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, %.1f GiB, Linux %s, %s, commit %s, %s, load average before %.2f\n", m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, m.Commit, m.Date, m.LoadAverage)
	fmt.Fprintf(w, "fdatasync of %d bytes on %s: p50 %.0f µs, p99 %.0f µs\n\n", probeBytes, m.Disk.Filesystem, m.Disk.P50, m.Disk.P99)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "operation\tbytes\tcredential\tcallers\techo/s\tkmsd/s\tratio\tp50 µs\tkmsd\tp99 µs\tkmsd\tCPU µs\tkmsd\tother CPU\trounds\t")
	for i := 0; i+1 < len(r.Results); i += 2 {
		e, k := r.Results[i], r.Results[i+1]
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%.0f\t%.0f\t%.2f (%.2f–%.2f)\t%.0f\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.2f\t%d of %d\t\n", k.Operation, k.Bytes, k.Credential, k.Callers,
			e.RPS, k.RPS, k.Ratio, k.RatioMin, k.RatioMax, e.P50, k.P50, e.P99, k.P99, e.ServerCPU, k.ServerCPU, max(e.OtherCPU, k.OtherCPU), k.Rounds, k.Rounds+k.LeftOut)
	}
	return t.Flush()
}
