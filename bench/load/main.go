// Command load is the load generator of kmsd's benchmarks, and what belongs to it:
//
//	load run     calls a server from N callers in a closed loop and prints one measurement as JSON
//	load setup   makes a key and a user with credentials in a fresh kmsd, and records its answers for the echo server
//	load disk    measures fdatasync, which every answer of kmsd waits for
//	load report  makes a table and a JSON file of measurements
//	load compare makes a table of kmsd's two fronts, and fails if the AWS front costs too much
//	load port    prints a free loopback port
//
// It does not start servers: bench/run does. It measures a closed loop, in which a caller that waits asks for nothing: the latencies are those of a
// server with exactly N calls at a time, not of one that is asked more often than it answers.
//
// Trust: it is run by hand against servers made for it. Whoever can write its files decides what it says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const usage = `usage: load run|setup|disk|report|compare|port [flags]
  load run --help    says what the flags of run are
`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		io.WriteString(stderr, usage)
		return 2
	}
	var err error
	switch args[0] {
	case "run":
		err = runCommand(ctx, args[1:], stdout, stderr)
	case "setup":
		err = setupCommand(ctx, args[1:], stderr)
	case "disk":
		err = diskCommand(args[1:], stdout, stderr)
	case "report":
		err = reportCommand(args[1:], stdout, stderr)
	case "compare":
		err = compareCommand(args[1:], stdout, stderr)
	case "port":
		err = portCommand(stdout)
	default:
		io.WriteString(stderr, usage)
		return 2
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2 // said by flag
	}
	fmt.Fprintf(stderr, "error: load %s: %v\n", args[0], err)
	return 1
}

var errUsage = errors.New("usage")

// parse reads flags and allows no arguments beside them.
func parse(f *flag.FlagSet, args []string, stderr io.Writer) error {
	f.SetOutput(stderr)
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if f.NArg() > 0 {
		fmt.Fprintf(stderr, "error: %q is no flag\n", f.Arg(0))
		return errUsage
	}
	return nil
}

func portCommand(stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, l.Addr().(*net.TCPAddr).Port)
	return l.Close()
}
