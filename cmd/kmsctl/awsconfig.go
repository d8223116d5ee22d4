package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/durable"
)

// awsPort is where kmsd listens for AWS's clients, unless it is configured otherwise.
const awsPort = "7445"

// awsFlags say what kmsctl config aws prints or writes.
type awsFlags struct {
	name, endpoint, caFile, roleARN       string
	secret, shell, write, process, forced bool
}

func (a *app) configAWSCommand() *cobra.Command {
	var f awsFlags
	cmd := &cobra.Command{
		Use: "aws", Short: "print the profile and environment of AWS's clients", Args: takes(),
		Long: `aws prints what makes the aws command line, the AWS SDKs and what is built on them call kmsd: a profile for ~/.aws/config, and environment variables
for a shell. The profile holds no secret: its credential_process asks kmsctl, which assumes roles and keeps their sessions as it does for itself. With --secret the
access key is printed in its place, for machines without kmsctl; --shell prints it as exports alone. --write puts the profile into the files and leaves the
others in them as they are.

kmsd must listen for AWS's clients (aws.listen in kmsd.yaml). A client certificate does not sign: these clients need an access key.`,
		Example: `  kmsctl config aws --write
  kmsctl config aws --aws-profile night --role-arn arn:aws:iam::111122223333:role/night-batch --write
  eval "$(kmsctl config aws --shell --ca-file kmsd-ca.pem)"`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.name, "aws-profile", "kmsd", "`NAME` of the profile for AWS's clients")
	flags.StringVar(&f.endpoint, "endpoint", "", "`URL` of kmsd's listener for AWS's clients (default: https, the credentials' host, port "+awsPort+")")
	flags.StringVar(&f.caFile, "ca-file", "", "write the CA's certificate to this `FILE`, and refer to it")
	flags.StringVar(&f.roleARN, "role-arn", "", "`ARN` of a role, which the AWS client assumes with the credentials")
	flags.BoolVar(&f.secret, "secret", false, "print or write the access key with its secret, in place of credential_process")
	flags.BoolVar(&f.shell, "shell", false, "print nothing but exports for a shell, the access key and its secret among them")
	flags.BoolVar(&f.write, "write", false, "write the profile to AWS_CONFIG_FILE or ~/.aws/config, with --secret to the credentials file too, and the CA beside it")
	flags.BoolVar(&f.process, "credential-process", false, "print the access key and its secret as AWS's clients read them from a credential_process")
	flags.BoolVar(&f.forced, "force", false, "replace a profile or CA file that kmsctl did not write")
	cmd.RunE = a.runs(func(ctx context.Context, _ []string) error { return a.configAWS(ctx, &f) })
	return cmd
}

func (f *awsFlags) check() error {
	modes := 0
	for _, on := range []bool{f.shell, f.write, f.process} {
		if on {
			modes++
		}
	}
	switch {
	case modes > 1:
		return usage("--shell, --write and --credential-process: give one of them")
	case f.roleARN != "" && (f.shell || f.process):
		return usage("--role-arn makes a profile: the environment cannot assume a role")
	case f.roleARN != "" && (!strings.HasPrefix(f.roleARN, "arn:") || !strings.Contains(f.roleARN, ":role/") || !fitsINI(f.roleARN)):
		return usage("--role-arn must be the ARN of a role, such as arn:aws:iam::111122223333:role/name")
	case !contextName.MatchString(f.name):
		return usage("--aws-profile %q: the name has 1 to 64 of A-Z a-z 0-9 . _ -, and begins with a letter or digit", f.name)
	case f.caFile == standard:
		return usage("--ca-file takes a file")
	}
	return nil
}

func (a *app) configAWS(ctx context.Context, f *awsFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	creds, err := a.loadCredentials()
	if err != nil {
		return err
	}
	if creds.Role == nil && creds.AccessKeyID == "" {
		return hintAt(errors.New("a client certificate does not sign requests: AWS's clients need an access key"), "kmsctl user create-access-key NAME --out FILE")
	}
	p := awsProfile{name: f.name, region: creds.Region, roleARN: f.roleARN}
	if f.secret || f.shell || f.process {
		if p.keys, err = a.signingKeys(ctx, creds); err != nil {
			return err
		}
	} else if p.process, err = a.credentialProcess(); err != nil {
		return err
	}
	if f.process {
		return a.printProcess(p.keys)
	}
	if p.endpoint, err = awsEndpoint(f.endpoint, creds.Endpoint); err != nil {
		return err
	}
	if err := a.provideCA(f, &p, creds.CA); err != nil {
		return err
	}
	switch {
	case f.shell:
		_, err = fmt.Fprint(a.stdout, p.environment().shell())
		return err
	case f.write:
		return a.writeProfile(f, p)
	}
	return a.printProfile(p)
}

// signingKeys returns the access key that calls are signed with: of a role, that of its session.
func (a *app) signingKeys(ctx context.Context, creds client.Credentials) (client.Credentials, error) {
	if creds.Role == nil {
		return creds, nil
	}
	cfg, err := a.clientConfig(ctx, creds)
	if err != nil {
		return client.Credentials{}, err
	}
	return cfg.Provider.Retrieve(ctx)
}

// credentialProcess is the command that prints the access key of the credentials in use.
func (a *app) credentialProcess() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding kmsctl's own path: %w", err)
	}
	path, source, err := a.credentialsPath()
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	words := []string{self, "--credentials", path}
	switch source {
	case "--profile":
		words = []string{self, "--profile", a.profile}
	case "the current context":
		cfg, err := loadConfig()
		if err != nil {
			return "", err
		}
		words = []string{self, "--profile", cfg.CurrentContext}
	}
	for i, w := range words {
		if !fitsINI(w) {
			return "", fmt.Errorf("%q cannot stand in a file of the AWS command line: choose a path without control characters, # and ;", shorten(w, 80))
		}
		words[i] = shellWord(w)
	}
	return strings.Join(append(words, "config", "aws", "--credential-process"), " "), nil
}

// processView is what a credential_process prints. Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
type processView struct {
	Version         int
	AccessKeyID     string     `json:"AccessKeyId"`
	SecretAccessKey string     //
	SessionToken    string     `json:",omitempty"`
	Expiration      *time.Time `json:",omitempty"`
}

func (a *app) printProcess(keys client.Credentials) error {
	v := processView{
		Version: 1, AccessKeyID: keys.AccessKeyID, SecretAccessKey: string(keys.SecretAccessKey.Expose()), SessionToken: string(keys.SessionToken.Expose()),
	}
	if !keys.Expiration.IsZero() {
		end := keys.Expiration.UTC().Truncate(time.Second)
		v.Expiration = &end
	}
	return json.NewEncoder(a.stdout).Encode(v)
}

// awsEndpoint returns the URL of the AWS front: the given one, or where kmsd listens by default beside its gRPC endpoint.
func awsEndpoint(given, grpc string) (string, error) {
	if given == "" {
		host, _, err := net.SplitHostPort(grpc)
		if err != nil {
			return "", err
		}
		return "https://" + net.JoinHostPort(host, awsPort), nil
	}
	u, err := url.Parse(given)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || !fitsINI(given) {
		return "", usage("--endpoint must be a URL without a path, such as https://kms.example.com:%s", awsPort)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", usage("--endpoint: %s is no port", shorten(port, 20))
		}
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback(); {
	case u.Scheme != "https" && u.Scheme != "http":
		return "", usage("--endpoint must begin with https://")
	case u.Scheme == "http" && !local:
		return "", usage("--endpoint: plain http is for this machine only; plaintexts and data keys would go over the network in the clear")
	}
	return u.Scheme + "://" + u.Host, nil
}

// provideCA decides where the CA's certificate is, and writes it there if it is asked to.
func (a *app) provideCA(f *awsFlags, p *awsProfile, ca []byte) error {
	if strings.HasPrefix(p.endpoint, "http://") {
		return nil
	}
	path, ours := f.caFile, false
	if path == "" {
		file, err := awsFile("AWS_CONFIG_FILE", "config")
		if err != nil {
			return err
		}
		path, ours = filepath.Join(filepath.Dir(file), p.name+"-ca.pem"), true
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if !fitsINI(path) {
		return usage("%q cannot stand in a file of the AWS command line: choose a path without control characters, # and ;", shorten(path, 80))
	}
	p.caFile = path
	old, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(old, ca):
		return nil
	case ours && f.shell:
		a.say("the CA's certificate is not in %s: --ca-file FILE writes it", path)
		return nil
	case ours && !f.write:
		a.say("the CA's certificate is not in %s: --write puts it there, --ca-file FILE elsewhere", path)
		return nil
	case err == nil && !f.forced && !ours:
		return hintAt(&fs.PathError{Op: "writing", Path: path, Err: fs.ErrExist}, "--force replaces it")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if ours {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("writing the CA's certificate: %w", err)
		}
	}
	return durable.WriteFile(path, ca, 0o644)
}

// awsView is the profile as JSON shows it. It has the secret if --secret asks for it.
type awsView struct {
	Profile           string            `json:"profile"`
	Region            string            `json:"region"`
	Endpoint          string            `json:"endpoint"`
	CAFile            string            `json:"ca_file,omitempty"`
	RoleARN           string            `json:"role_arn,omitempty"`
	CredentialProcess string            `json:"credential_process,omitempty"`
	AccessKeyID       string            `json:"access_key_id,omitempty"`
	Expiration        *time.Time        `json:"expiration,omitempty"`
	Environment       map[string]string `json:"environment"`
	Config            string            `json:"config"`
	Credentials       string            `json:"credentials,omitempty"`
	Written           []string          `json:"written,omitempty"`
}

func (p awsProfile) view() awsView {
	v := awsView{
		Profile: p.name, Region: p.region, Endpoint: p.endpoint, CAFile: p.caFile, RoleARN: p.roleARN, CredentialProcess: p.process, AccessKeyID: p.keys.AccessKeyID,
		Environment: map[string]string{}, Config: text(p.config()), Credentials: text(p.credentials()),
	}
	if !p.keys.Expiration.IsZero() {
		v.Expiration = &p.keys.Expiration
	}
	for _, e := range p.environment() {
		if e.value != "" {
			v.Environment[e.name] = e.value
		}
	}
	return v
}

// printProfile prints what belongs into the files, and into a shell.
func (a *app) printProfile(p awsProfile) error {
	if a.output != formatTable {
		return a.emit(p.view(), nil)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# ~/.aws/config\n%s\n", text(p.config()))
	if keys := p.credentials(); keys != nil {
		fmt.Fprintf(&b, "# ~/.aws/credentials, mode 0600\n%s\n", text(keys))
	}
	fmt.Fprintf(&b, "# a shell\n%s", p.environment().shell())
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

// writeProfile puts the profile into the files of the AWS command line.
func (a *app) writeProfile(f *awsFlags, p awsProfile) error {
	config, err := awsFile("AWS_CONFIG_FILE", "config")
	if err != nil {
		return err
	}
	keys, err := awsFile("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	if err != nil {
		return err
	}
	v := p.view()
	// The keys first: a profile without them would not work. Keys that an earlier run has left would be preferred to a credential_process.
	changed, err := mergeFile(keys, p.credentials(), []string{p.name, p.sourceName()}, f.forced)
	if err != nil {
		return err
	}
	if changed {
		v.Written = append(v.Written, keys)
	}
	if _, err := mergeFile(config, p.config(), []string{profileSection(p.sourceName())}, f.forced); err != nil {
		return err
	}
	v.Written = append(v.Written, config)
	v.Config, v.Credentials = "", ""
	if f.secret {
		delete(v.Environment, "AWS_SECRET_ACCESS_KEY")
		delete(v.Environment, "AWS_SESSION_TOKEN")
	}
	switch names := p.overridden(os.Getenv); len(names) {
	case 0:
	case 1:
		a.say("%s is set in this shell, and goes before the profile: unset %[1]s", names[0])
	default:
		a.say("%s are set in this shell, and go before the profile: unset %s", strings.Join(names, " and "), strings.Join(names, " "))
	}
	return a.done(v, "wrote the profile %s to %s; use it by AWS_PROFILE=%s or --profile %s", p.name, strings.Join(v.Written, " and "), p.name, p.name)
}

// awsFile is the path of a file of the AWS command line: what the variable says, or its name below ~/.aws.
func awsFile(variable, name string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		return filepath.Abs(path)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the files of the AWS command line: %w", err)
	}
	return filepath.Join(home, ".aws", name), nil
}
