// Command kmsctl is kmsd's command line: keys, aliases and grants, encryption of data, files and data keys, users, groups, roles, policies and
// accounts, and the audit log.
//
// It decides nothing: kmsd does. Data goes to standard output and everything else to standard error, so that what it prints can be used by another
// program; no secret is taken from or put into the arguments. docs/kmsctl.md shows its use by task.
//
// Trust: who can read the credentials file can do what kmsctl can. What kmsd and the files answer is escaped before it reaches a terminal. The
// audit commands read files and believe only what audit.Verify proves.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/crypto"
)

// commit is set when the binary is built.
var commit = "unknown"

const release = "0.1.0"

func version() string {
	return fmt.Sprintf("kmsctl %s (commit %s, %s %s/%s, %s)", release, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, crypto.FIPS())
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is kmsctl. Its first SIGINT or SIGTERM ends what is under way, which leaves no half-written file; the second ends the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	defer a.end()
	root := a.root()
	root.SetArgs(args)
	if args == nil {
		root.SetArgs([]string{}) // cobra would take the process's
	}
	command, err := root.ExecuteContextC(ctx)
	a.path = command.CommandPath()
	if err != nil && !a.started {
		err = usageError{err}
	}
	err = inFlags(command, err)
	return a.exit(ctx, err)
}

const rootLong = `kmsctl works with the keys of a kmsd: it makes and manages them, encrypts and decrypts data and files under them, manages who may use them,
and reads and verifies the audit log.

It finds kmsd, and who you are, in a credentials file: --credentials FILE, or else the context of --profile NAME, or else the file that
KMSD_CREDENTIALS names, or else the current context (see kmsctl config). KMSD_ENDPOINT replaces the file's endpoint.

Data goes to standard output, everything else to standard error; "-" as a file name is standard input or output. Exit codes: 0 done, 1 error, 2 wrong
use, 3 not found, 4 denied or not authenticated, 5 conflict or precondition, 6 unavailable, 7 verification failed, 130 interrupted.`

// The groups of the help.
const (
	groupKeys   = "keys"
	groupData   = "data"
	groupPeople = "people"
	groupOrg    = "organization"
	groupAudit  = "audit"
	groupTool   = "tool"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "kmsctl", Short: "kmsctl works with the keys of a kmsd", Long: rootLong,
		Example: `  kmsctl key create --alias alias/app
  kmsctl file encrypt --key alias/app --context tenant=42 report.pdf --out report.pdf.kms
  kmsctl file decrypt report.pdf.kms --out report.pdf`,
		SilenceUsage: true, SilenceErrors: true, Version: version(),
		Args: a.subcommand, RunE: a.helpOnly,
		PersistentPreRunE: a.checkFlags,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	f := root.PersistentFlags()
	f.StringVar(&a.credentials, "credentials", "", "credentials `FILE` (default: $KMSD_CREDENTIALS, then the current context)")
	f.StringVar(&a.profile, "profile", "", "use the context `NAME` of kmsctl config")
	f.StringVar(&a.mfa, "mfa-code", "", "`CODE` of the MFA device of a profile (default: $KMSD_MFA_CODE, or else asked)")
	f.StringVarP(&a.output, "output", "o", formatTable, "`FORMAT` of what is printed: table, json or yaml")
	f.DurationVar(&a.timeout, "timeout", defaultTimeout, "how long a call of kmsd may take")
	f.BoolVarP(&a.yes, "yes", "y", false, "do not ask before destructive changes (asked only on a terminal)")
	formats := []string{formatTable, formatJSON, formatYAML}
	if err := root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("kmsctl: internal error: " + err.Error()) // there is no such flag
	}
	for _, g := range []struct{ id, title string }{
		{groupKeys, "Keys:"},
		{groupData, "Data:"},
		{groupPeople, "Users, roles and permissions:"},
		{groupOrg, "Organization:"},
		{groupAudit, "Audit log:"},
		{groupTool, "kmsctl itself:"},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
	}
	root.SetHelpCommandGroupID(groupTool)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupKeys, a.keyCommand(), a.aliasCommand(), a.grantCommand())
	add(groupData, a.encryptCommand(), a.decryptCommand(), a.reEncryptCommand(), a.dataKeyCommand(), a.dataKeyPairCommand(),
		a.randomCommand(), a.fileCommand(), a.signCommand(), a.verifyCommand(), a.macCommand(), a.verifyMacCommand(),
		a.deriveSharedSecretCommand(), a.encapsulateCommand(), a.decapsulateCommand(), a.batchCommand())
	add(groupPeople, a.userCommand(), a.groupCommand(), a.roleCommand(), a.policyCommand(), a.identityProviderCommand(), a.stsCommand(), a.whoamiCommand())
	add(groupOrg, a.accountCommand(), a.ouCommand(), a.scpCommand())
	a.addTokens(root)
	add(groupAudit, a.auditCommand(), a.iamCommand())
	add(groupTool, a.configCommand(), a.doctorCommand(), a.completionCommand(), a.manCommand(), a.versionCommand())
	return root
}
