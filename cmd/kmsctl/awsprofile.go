package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/durable"
)

// awsProfile is what AWS's clients must know to call kmsd.
type awsProfile struct {
	name, region, endpoint string
	caFile                 string // "" without TLS
	roleARN                string // "" if no role is assumed by the client
	process                string // command that prints the access key; "" if it is here
	keys                   client.Credentials
}

// awsServices are the services of AWS that kmsd speaks, as the services section of a profile and the environment name them.
var awsServices = [...]struct{ setting, variable string }{
	{"kms", "AWS_ENDPOINT_URL_KMS"},
	{"sts", "AWS_ENDPOINT_URL_STS"},
	{"iam", "AWS_ENDPOINT_URL_IAM"},
	{"organizations", "AWS_ENDPOINT_URL_ORGANIZATIONS"},
}

// section is one section of ~/.aws/config or ~/.aws/credentials.
type section struct {
	name  string // without brackets
	lines []string
}

// madeBy marks a section that kmsctl may replace.
const madeBy = "# by kmsctl config aws"

func text(all []section) string {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "[%s]\n%s\n", s.name, madeBy)
		for _, l := range s.lines {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

// profileSection is the name of a profile's section in ~/.aws/config.
func profileSection(name string) string {
	if name == "default" {
		return name
	}
	return "profile " + name
}

// sourceName is the profile that holds the access key that the role is assumed with.
func (p awsProfile) sourceName() string { return p.name + "-source" }

// config returns the sections for ~/.aws/config.
func (p awsProfile) config() []section {
	place := []string{"region = " + p.region, "services = " + p.name}
	if p.caFile != "" {
		place = append(place, "ca_bundle = "+p.caFile)
	}
	var all []section
	source := section{name: profileSection(p.name), lines: place}
	if p.roleARN != "" {
		all = append(all, section{profileSection(p.name), slices.Concat(place, []string{"role_arn = " + p.roleARN, "source_profile = " + p.sourceName()})})
		source.name = profileSection(p.sourceName())
	}
	if p.process != "" {
		source.lines = slices.Concat(place, []string{"credential_process = " + p.process})
	}
	services := section{name: "services " + p.name}
	for _, s := range awsServices {
		services.lines = append(services.lines, s.setting+" =", "  endpoint_url = "+p.endpoint)
	}
	return append(all, source, services)
}

// credentials returns the sections for ~/.aws/credentials: none if the access key is not here.
func (p awsProfile) credentials() []section {
	if p.process != "" {
		return nil
	}
	s := section{name: p.name}
	if p.roleARN != "" {
		s.name = p.sourceName()
	}
	s.lines = []string{"aws_access_key_id = " + p.keys.AccessKeyID, "aws_secret_access_key = " + string(p.keys.SecretAccessKey.Expose())}
	if !p.keys.SessionToken.IsZero() {
		s.lines = append(s.lines, "aws_session_token = "+string(p.keys.SessionToken.Expose()))
	}
	return []section{s}
}

// environment is variables of a shell, in order; an empty value unsets.
type environment []struct{ name, value string }

// environment returns what a shell must have: the profile's name, or all that is in it.
func (p awsProfile) environment() environment {
	var e environment
	add := func(name, value string) { e = append(e, struct{ name, value string }{name, value}) }
	if p.process != "" || p.roleARN != "" {
		add("AWS_PROFILE", p.name)
	} else {
		add("AWS_PROFILE", "")
		add("AWS_ACCESS_KEY_ID", p.keys.AccessKeyID)
		add("AWS_SECRET_ACCESS_KEY", string(p.keys.SecretAccessKey.Expose()))
		add("AWS_SESSION_TOKEN", string(p.keys.SessionToken.Expose()))
	}
	add("AWS_REGION", p.region)
	add("AWS_DEFAULT_REGION", p.region)
	for _, s := range awsServices {
		add(s.variable, p.endpoint)
	}
	if p.caFile != "" {
		add("AWS_CA_BUNDLE", p.caFile)
		add("NODE_EXTRA_CA_CERTS", p.caFile)
	}
	return e
}

// overridden returns the names of the variables in env that AWS's clients go by in the place of what the profile says, and that say otherwise.
func (p awsProfile) overridden(env func(name string) string) []string {
	says := environment{{"AWS_ACCESS_KEY_ID", p.keys.AccessKeyID}, {"AWS_REGION", p.region}, {"AWS_DEFAULT_REGION", p.region}, {"AWS_ENDPOINT_URL", p.endpoint}}
	for _, s := range awsServices {
		says = append(says, struct{ name, value string }{s.variable, p.endpoint})
	}
	if p.caFile != "" {
		says = append(says, struct{ name, value string }{"AWS_CA_BUNDLE", p.caFile})
	}
	var names []string
	for _, s := range says {
		if set := env(s.name); set != "" && set != s.value {
			names = append(names, s.name)
		}
	}
	return names
}

// shell is the environment as lines of a POSIX shell.
func (e environment) shell() string {
	var b strings.Builder
	for _, v := range e {
		if v.value == "" {
			b.WriteString("unset " + v.name + "\n")
			continue
		}
		b.WriteString("export " + v.name + "=" + shellWord(v.value) + "\n")
	}
	return b.String()
}

// shellWord is s as one word of a POSIX shell, in quotes only if it must be.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-:=@%+,", r))
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return shellQuoted(s)
}

// fitsINI reports whether a value means the same to every reader of ~/.aws/config: some take what follows # or ; for a comment.
func fitsINI(s string) bool {
	return s == strings.TrimSpace(s) && !strings.ContainsFunc(s, func(r rune) bool { return unprintable(r) || r == '#' || r == ';' })
}

const maxAWSFile = 1 << 20 // bytes

// mergeFile puts sections into a file, which it makes if it must, with mode 0600, and takes out those named in gone. It reports whether it changed
// anything.
func mergeFile(path string, put []section, gone []string, forced bool) (changed bool, err error) {
	target, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = path
	case err != nil:
		return false, err
	}
	mode := secretMode
	var old []byte
	switch info, err := os.Stat(target); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, err
	case !info.Mode().IsRegular() || info.Size() > maxAWSFile:
		return false, fmt.Errorf("%s is not a file of at most %d bytes", path, maxAWSFile)
	default:
		mode = info.Mode().Perm()
		if old, err = os.ReadFile(target); err != nil {
			return false, err
		}
	}
	defer clear(old)
	merged, err := merge(string(old), put, gone, forced)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if merged == string(old) {
		return false, nil
	}
	if slices.ContainsFunc(put, section.holdsSecret) {
		mode &= secretMode
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return false, err
	}
	return true, durable.WriteFile(target, []byte(merged), mode)
}

func (s section) holdsSecret() bool {
	return slices.ContainsFunc(s.lines, func(l string) bool { return strings.HasPrefix(l, "aws_secret_access_key") })
}

// merge returns the file old with the sections put, each in the place of its namesake, or else at the end, and without those named in gone. Everything else
// stays byte for byte. A section of these names that kmsctl has not made gives an error, unless forced.
func merge(old string, put []section, gone []string, forced bool) (string, error) {
	var b strings.Builder
	done := make([]bool, len(put))
	for _, part := range split(old) {
		i := slices.IndexFunc(put, func(s section) bool { return s.name == part.name })
		named := i >= 0 || part.name != "" && slices.Contains(gone, part.name)
		switch {
		case named && !forced && !strings.Contains(part.body, "\n"+madeBy+"\n"):
			return "", &codedError{fmt.Errorf("there is a section [%s] already, which kmsctl has not written", part.name), "--aws-profile takes another name, --force replaces it", exitConflict}
		case i >= 0 && !done[i]:
			b.WriteString(text(put[i:i+1]) + part.after)
			done[i] = true
		case named:
			b.WriteString(part.after)
		default:
			b.WriteString(part.body + part.after)
		}
	}
	for i, s := range put {
		if done[i] {
			continue
		}
		switch so := b.String(); {
		case so == "" || strings.HasSuffix(so, "\n\n"):
		case strings.HasSuffix(so, "\n"):
			b.WriteString("\n")
		default:
			b.WriteString("\n\n")
		}
		b.WriteString(text([]section{s}))
	}
	return b.String(), nil
}

// part is a section as it stands in a file: its body from the header to the last setting, and the blank lines and comments after that, which may belong to what
// follows. What stands before the first header is a part without a name.
type part struct{ name, body, after string }

// split cuts a file into parts, which together are the file.
func split(file string) []part {
	parts := []part{{}}
	for line := range strings.Lines(file) {
		p := &parts[len(parts)-1]
		bare := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "["):
			parts = append(parts, part{name: headerName(bare), body: line})
		case bare == madeBy && p.after == "", bare != "" && bare[0] != '#' && bare[0] != ';':
			p.body += p.after + line
			p.after = ""
		default:
			p.after += line
		}
	}
	return parts
}

// headerName returns the name in a header, with one space between its words and without quotes.
func headerName(header string) string {
	inner, _, _ := strings.Cut(strings.TrimPrefix(header, "["), "]")
	return strings.Join(strings.Fields(strings.NewReplacer(`"`, "", `'`, "").Replace(inner)), " ")
}
