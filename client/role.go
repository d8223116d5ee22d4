package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kmsd/kmsd/crypto"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// MaxRoles is how many roles can stand one behind the other: each assumed with the credentials of the next.
const MaxRoles = 5

// maxWebIdentityToken is the size of the largest token that kmsd takes, in bytes.
const maxWebIdentityToken = 20000

// Role says which role to assume, and how: what a profile of the AWS command line says. A credentials file has it by the same names.
type Role struct {
	ARN            string        // role_arn. Required
	SessionName    string        // role_session_name, 2 to 64 of A-Z a-z 0-9 _ + = , . @ -; "" means "kmsd-" and the time
	Duration       time.Duration // duration_seconds, 15 minutes to 12 hours, whole seconds; 0 means what kmsd gives: an hour
	ExternalID     string        // external_id; "" means none
	SourceIdentity string        // source_identity; "" means none
	MFASerial      string        // mfa_serial, of an MFA device of the caller; "" means no MFA
	// MFACode returns a code of that device. Required with MFASerial, and asked at every renewal.
	MFACode func(ctx context.Context, serial string) (string, error)

	// WebIdentityTokenFile is web_identity_token_file: the path of an OpenID Connect ID token, read at every renewal. The role is assumed by it
	// and without other credentials. "" means that the role is assumed with those of the source.
	WebIdentityTokenFile string
	// SourceProfile is source_profile: whose credentials the role is assumed with. Load reads them into Source. A text with a slash is the
	// path of a credentials file, relative to the folder of the file that names it; one without is a name that Load is told the path of.
	SourceProfile string
	// Source is what the role is assumed with. Endpoint, Region and CA of it do not count.
	Source *Credentials

	// What the session shall not exceed, and its tags; not in credentials files.
	Policy            string
	PolicyARNs        []string
	Tags              map[string]string
	TransitiveTagKeys []string
}

func (r *Role) check() error {
	switch {
	case !strings.HasPrefix(r.ARN, "arn:") || !strings.Contains(r.ARN, ":role/") || !plainText(r.ARN, 20, 2048):
		return invalid("role_arn must be the ARN of a role, such as arn:aws:iam::111122223333:role/name")
	case r.SessionName != "" && !plainText(r.SessionName, 2, 64):
		return invalid("role_session_name must have 2 to 64 of A-Z a-z 0-9 _ + = , . @ -")
	case r.Duration != 0 && (r.Duration < 15*time.Minute || r.Duration > 12*time.Hour || r.Duration%time.Second != 0):
		return invalid("duration_seconds must be 900 to 43200")
	case r.ExternalID != "" && !plainText(r.ExternalID, 2, 1224):
		return invalid("external_id must have 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -")
	case r.SourceIdentity != "" && !plainText(r.SourceIdentity, 2, 64):
		return invalid("source_identity must have 2 to 64 of A-Z a-z 0-9 _ + = , . @ -")
	case r.MFASerial != "" && !plainText(r.MFASerial, 9, 512):
		return invalid("mfa_serial must be the serial number of an MFA device, an ARN")
	case !pathText(r.WebIdentityTokenFile):
		return invalid("web_identity_token_file must be a path")
	case !pathText(r.SourceProfile):
		return invalid("source_profile must be a name or a path")
	case r.WebIdentityTokenFile != "" && (r.SourceProfile != "" || r.Source != nil || r.MFASerial != "" || r.ExternalID != "" || r.SourceIdentity != ""):
		return invalid("with web_identity_token_file there is no source_profile, mfa_serial, external_id and source_identity")
	}
	return nil
}

func plainText(s string, least, most int) bool {
	return len(s) >= least && len(s) <= most && !strings.ContainsFunc(s, notPrintable)
}

func pathText(s string) bool {
	return len(s) <= 4096 && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// checkRole is check for credentials that are those of a role.
func (c Credentials) checkRole() error {
	if c.AccessKeyID != "" || !c.SecretAccessKey.IsZero() || len(c.Certificate) > 0 || !c.Key.IsZero() || !c.SessionToken.IsZero() || !c.Expiration.IsZero() {
		return invalid("both a role and other credentials: put those into a file of their own, and name it by source_profile")
	}
	if err := c.Role.check(); err != nil {
		return err
	}
	if c.Role.WebIdentityTokenFile == "" && c.Role.SourceProfile == "" && c.Role.Source == nil {
		return invalid("role_arn needs source_profile or web_identity_token_file: what the role is assumed with")
	}
	inherits := c.Role.SourceProfile != "" && c.Role.Source == nil // what is not said is the source's
	if err := checkEndpoint(c.Endpoint); err != nil && !(inherits && c.Endpoint == "") {
		return err
	}
	if err := checkRegion(c.Region); err != nil && !(inherits && c.Region == "") {
		return err
	}
	if !allPEM(c.CA, "CERTIFICATE") && !(inherits && len(c.CA) == 0) {
		return errCA
	}
	return nil
}

// AssumeRole returns a provider of credentials of a role, which are renewed in time with those of source. Of source it takes what New
// takes; for a role with a WebIdentityTokenFile only Endpoint, Region and CA of its credentials. It makes no call. role's Source and SourceProfile do
// not count. Close the provider after use.
func AssumeRole(source Config, role Role) (*CredentialsProvider, error) {
	o, err := newOpener(source, role)
	if err != nil {
		return nil, err
	}
	p := NewCredentialsProvider(o.at, o.open)
	p.source = o.caller
	return p, nil
}

// AssumeRoleOnce returns credentials of a role, which nobody renews. It takes what AssumeRole takes, and makes the call.
func AssumeRoleOnce(ctx context.Context, source Config, role Role) (Credentials, error) {
	o, err := newOpener(source, role)
	if err != nil {
		return Credentials{}, err
	}
	defer o.caller.Close()
	return o.open(ctx)
}

// opener opens sessions of one role.
type opener struct {
	caller *Client
	role   Role
	at     Credentials
}

func newOpener(source Config, role Role) (*opener, error) {
	role.Source, role.SourceProfile = nil, ""
	if err := role.check(); err != nil {
		return nil, fmt.Errorf("assuming a role: %w", err)
	}
	if role.MFASerial != "" && role.MFACode == nil {
		return nil, fmt.Errorf("assuming a role: %w", invalid("mfa_serial, and nobody to ask for a code"))
	}
	base := source.Credentials
	if source.Provider != nil {
		base = source.Provider.at
	}
	if source.Endpoint != "" {
		base.Endpoint = source.Endpoint
	}
	at := base.place()
	if err := checkRegion(at.Region); err != nil {
		return nil, fmt.Errorf("assuming a role: %w", err)
	}
	source.Connections = 1
	caller, err := callerOf(source, at, &role)
	if err != nil {
		return nil, fmt.Errorf("assuming a role: %w", err)
	}
	return &opener{caller, role, at}, nil
}

// callerOf returns the client that opens sessions of a role: that of source, or for a web identity, of nobody.
func callerOf(source Config, at Credentials, role *Role) (*Client, error) {
	if role.WebIdentityTokenFile == "" {
		return New(source)
	}
	anonymous := source.Credentials
	anonymous.Endpoint, anonymous.Region, anonymous.CA = "", "", nil
	if source.Provider != nil || !anonymous.isZero() {
		return nil, invalid("both a web identity and other credentials: give one of them")
	}
	if err := at.checkPlace(); err != nil {
		return nil, err
	}
	source.Credentials, source.Endpoint = at, ""
	return newClient(source)
}

// assume returns the provider for a configuration whose credentials are those of a role.
func assume(cfg Config) (*CredentialsProvider, error) {
	role, at := *cfg.Credentials.Role, cfg.Credentials.place()
	cfg.Endpoint, cfg.Credentials = "", at
	if role.WebIdentityTokenFile == "" {
		if role.Source == nil {
			return nil, invalid("source_profile %q was not loaded", role.SourceProfile)
		}
		// One kmsd opens the session and takes it.
		cfg.Credentials = *role.Source
		cfg.Credentials.Endpoint, cfg.Credentials.Region, cfg.Credentials.CA = at.Endpoint, at.Region, at.CA
	}
	return AssumeRole(cfg, role)
}

func (o *opener) open(ctx context.Context) (Credentials, error) {
	out, err := o.call(ctx)
	if err != nil {
		return Credentials{}, fmt.Errorf("assuming the role %s: %w", o.role.ARN, err)
	}
	c := o.at
	c.AccessKeyID = out.GetAccessKeyId()
	c.SecretAccessKey = crypto.NewSecret([]byte(out.GetSecretAccessKey()))
	c.SessionToken = crypto.NewSecret([]byte(out.GetSessionToken()))
	c.Expiration = out.GetExpiration().AsTime()
	return c, nil
}

func (o *opener) call(ctx context.Context) (*stsv1.Credentials, error) {
	r := &o.role
	name := r.SessionName
	if name == "" {
		name = "kmsd-" + strconv.FormatInt(time.Now().Unix(), 10)
	}
	var arns []*stsv1.PolicyDescriptorType
	for _, arn := range r.PolicyARNs {
		arns = append(arns, stsv1.PolicyDescriptorType_builder{Arn: arn}.Build())
	}
	seconds := int32(min(r.Duration/time.Second, math.MaxInt32))
	if r.WebIdentityTokenFile != "" {
		token, err := readWebIdentityToken(r.WebIdentityTokenFile)
		if err != nil {
			return nil, err
		}
		out, err := o.caller.STS().AssumeRoleWithWebIdentity(ctx, stsv1.AssumeRoleWithWebIdentityRequest_builder{
			RoleArn: r.ARN, RoleSessionName: name, WebIdentityToken: token, PolicyArns: arns, Policy: r.Policy, DurationSeconds: seconds,
		}.Build())
		return out.GetCredentials(), err
	}
	request := stsv1.AssumeRoleRequest_builder{
		RoleArn: r.ARN, RoleSessionName: name, PolicyArns: arns, Policy: r.Policy, DurationSeconds: seconds, TransitiveTagKeys: r.TransitiveTagKeys,
		ExternalId: r.ExternalID, SerialNumber: r.MFASerial, SourceIdentity: r.SourceIdentity,
	}
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		request.Tags = append(request.Tags, iamv1.Tag_builder{Key: key, Value: r.Tags[key]}.Build())
	}
	if r.MFASerial != "" {
		code, err := r.MFACode(ctx, r.MFASerial)
		if err != nil {
			return nil, fmt.Errorf("asking for a code: %w", err)
		}
		request.TokenCode = code
	}
	out, err := o.caller.STS().AssumeRole(ctx, request.Build())
	return out.GetCredentials(), err
}

// readWebIdentityToken reads a token, which others may be able to read: it is good for a short time.
func readWebIdentityToken(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not to wait for a writer if path is a pipe
	if err != nil {
		return "", fmt.Errorf("reading the web identity token: %w", err)
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("reading the web identity token: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("reading the web identity token: %s is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxWebIdentityToken+2))
	if err != nil {
		return "", fmt.Errorf("reading the web identity token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(token) > maxWebIdentityToken {
		return "", fmt.Errorf("reading the web identity token: %s does not have 1 to %d bytes", path, maxWebIdentityToken)
	}
	return token, nil
}

// Load reads a credentials file as LoadFile does and, if it is the profile of a role, the files of its source profiles, at most MaxRoles roles one behind
// the other. named returns the path that a source profile's name stands for; nil means that there are no names. What a profile does
// not say of endpoint, region and CA is its source's. Profiles that go round in a circle give an error that matches ErrCredentials.
func Load(path string, named func(name string) (path string, err error)) (Credentials, error) {
	return load(path, named, nil)
}

func load(path string, named func(string) (string, error), behind []string) (Credentials, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return Credentials{}, fmt.Errorf("reading credentials: %w", err)
	}
	chain := append(slices.Clone(behind), whole)
	if slices.Contains(behind, whole) {
		return Credentials{}, invalid("source_profile goes round in a circle: %s", strings.Join(chain, " → "))
	}
	c, err := LoadFile(path)
	if err != nil || c.Role == nil || c.Role.WebIdentityTokenFile != "" {
		return c, err
	}
	if len(chain) > MaxRoles {
		return Credentials{}, invalid("more than %d roles one behind the other: %s", MaxRoles, strings.Join(chain, " → "))
	}
	next := c.Role.SourceProfile
	switch {
	case filepath.IsAbs(next):
	case strings.Contains(next, "/"):
		next = filepath.Join(filepath.Dir(whole), next)
	case named == nil:
		return Credentials{}, invalid("source_profile %q of %s: only kmsctl knows names; give a path, such as ./%s", next, path, next)
	default:
		if next, err = named(next); err != nil {
			return Credentials{}, fmt.Errorf("source_profile of %s: %w", path, err)
		}
	}
	source, err := load(next, named, chain)
	if err != nil {
		if errors.Is(err, ErrCredentials) {
			return Credentials{}, err // says which file
		}
		return Credentials{}, fmt.Errorf("source_profile of %s: %w", path, err)
	}
	c.Role.Source = &source
	c.inherit(source)
	if err := c.check(); err != nil {
		return Credentials{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return c, nil
}

// inherit takes over what c does not say.
func (c *Credentials) inherit(from Credentials) {
	if c.Endpoint == "" {
		c.Endpoint = from.Endpoint
	}
	if c.Region == "" {
		c.Region = from.Region
	}
	if len(c.CA) == 0 {
		c.CA = from.CA
	}
}
