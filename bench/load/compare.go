package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// The fronts of one kmsd.
const (
	frontGRPC = "grpc"
	frontAWS  = "aws"
)

// comparison is the two fronts at one point: medians of the rounds, of which the n-th of one is compared with the n-th of the other.
type comparison struct {
	operation                    string
	bytes, callers               int
	grpcRPS, awsRPS              float64
	grpcCPU, awsCPU              float64 // of the server, µs per call
	ratio, ratioLeast, ratioMost float64 // of the server's CPU time
	otherCPU                     float64 // in the worst round
	rounds                       int
}

// maxRatio is how much server CPU a call through the AWS front may cost, against one of gRPC.
const maxRatio = 2

func compareCommand(args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("load compare", flag.ContinueOnError)
	in := f.String("samples", "", "a file of what load run printed, in the order of the runs (required)")
	if err := parse(f, args, stderr); err != nil {
		return err
	}
	if *in == "" {
		return errors.New("--samples is required")
	}
	samples, err := readSamples(*in)
	if err != nil {
		return err
	}
	all, err := compareFronts(samples)
	if err != nil {
		return err
	}
	if err := printFronts(stdout, all); err != nil {
		return err
	}
	for _, c := range all {
		if c.operation == "encrypt" && c.ratio > maxRatio {
			return fmt.Errorf("encrypt of %d bytes, %d callers, costs %.2f times the server CPU of gRPC, more than %d", c.bytes, c.callers, c.ratio, maxRatio)
		}
	}
	return nil
}

// compareFronts makes the comparisons, in the order in which their points were measured first.
func compareFronts(samples []sample) ([]comparison, error) {
	type point struct {
		operation      string
		bytes, callers int
	}
	points, rounds, err := byPoint(samples, func(s sample) point { return point{s.Operation, s.Bytes, s.Callers} })
	if err != nil {
		return nil, err
	}
	var all []comparison
	for _, p := range points {
		g, a := rounds[p][frontGRPC], rounds[p][frontAWS]
		if len(g) == 0 || len(g) != len(a) {
			return nil, fmt.Errorf("%+v: measured %d times over gRPC and %d times as AWS's clients call", p, len(g), len(a))
		}
		c := comparison{operation: p.operation, bytes: p.bytes, callers: p.callers, rounds: len(g)}
		var ratios []float64
		for i := range g {
			if g[i].ServerCPU <= 0 || a[i].ServerCPU <= 0 {
				return nil, fmt.Errorf("%+v: a round without CPU time: it is too short", p)
			}
			ratios = append(ratios, a[i].ServerCPU/g[i].ServerCPU)
			c.otherCPU = max(c.otherCPU, g[i].OtherCPU, a[i].OtherCPU)
		}
		mg, ma := medians(g), medians(a)
		c.grpcRPS, c.awsRPS, c.grpcCPU, c.awsCPU = mg.RPS, ma.RPS, mg.ServerCPU, ma.ServerCPU
		c.ratio, c.ratioLeast, c.ratioMost = median(ratios), slices.Min(ratios), slices.Max(ratios)
		all = append(all, c)
	}
	return all, nil
}

func printFronts(w io.Writer, all []comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "operation\tbytes\tcallers\tgRPC/s\tAWS/s\tserver CPU µs, gRPC\tAWS\tratio\tother CPU\trounds\t")
	for _, c := range all {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.0f\t%.0f\t%.1f\t%.1f\t%.2f (%.2f–%.2f)\t%.2f\t%d\t\n", c.operation, c.bytes, c.callers, c.grpcRPS, c.awsRPS, c.grpcCPU, c.awsCPU,
			c.ratio, c.ratioLeast, c.ratioMost, c.otherCPU, c.rounds)
	}
	return t.Flush()
}
