package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/durable"
)

// envMFACode is a code of an MFA device, if nobody can be asked.
const envMFACode = "KMSD_MFA_CODE"

// loadCredentials reads the credentials that flags, environment and contexts name, and those that a role is assumed with.
func (a *app) loadCredentials() (client.Credentials, error) {
	path, _, err := a.credentialsPath()
	if err != nil {
		return client.Credentials{}, err
	}
	c, err := client.Load(path, contextPath)
	if err != nil {
		return client.Credentials{}, err
	}
	if endpoint := os.Getenv(client.EnvEndpoint); endpoint != "" {
		c.Endpoint = endpoint
	}
	return c, nil
}

// contextPath returns the credentials file that a context stands for.
func contextPath(name string) (string, error) {
	cfg, err := loadConfig()
	if err != nil {
		return "", err
	}
	path, ok := cfg.Contexts[name]
	if !ok {
		return "", noContext(name)
	}
	return path, nil
}

// connect returns a client, which the caller closes, and the credentials that it was made of: of a role, where kmsd is.
func (a *app) connect(ctx context.Context) (*client.Client, client.Credentials, error) {
	creds, err := a.loadCredentials()
	if err != nil {
		return nil, client.Credentials{}, err
	}
	cfg, err := a.clientConfig(ctx, creds)
	if err != nil {
		return nil, client.Credentials{}, err
	}
	c, err := client.New(cfg)
	return c, creds, err
}

// clientConfig is what a client with these credentials is made of. A role is assumed before it returns.
func (a *app) clientConfig(ctx context.Context, creds client.Credentials) (client.Config, error) {
	cfg := client.Config{Credentials: creds, Timeout: a.timeout, ClientToken: a.token, UserAgent: "kmsctl/" + release}
	if creds.Role == nil {
		return cfg, nil
	}
	place := client.Credentials{Endpoint: creds.Endpoint, Region: creds.Region, CA: creds.CA}
	fromCache := true
	p := client.NewCredentialsProvider(place, func(ctx context.Context) (client.Credentials, error) {
		if fromCache {
			fromCache = false
			if c, ok := a.cachedSession(creds); ok {
				return c, nil
			}
		}
		c, err := a.assume(ctx, creds, place)
		if err == nil {
			a.cacheSession(creds, c)
		}
		return c, err
	})
	a.mu.Lock()
	a.providers = append(a.providers, p)
	a.mu.Unlock()
	if _, err := p.Retrieve(ctx); err != nil {
		return client.Config{}, err
	}
	cfg.Credentials, cfg.Provider = client.Credentials{}, p
	return cfg, nil
}

// assume opens a session of a role, whose source may be a role, too.
func (a *app) assume(ctx context.Context, creds, place client.Credentials) (client.Credentials, error) {
	role := *creds.Role
	role.MFACode = a.mfaCode
	source := client.Config{Credentials: place, Timeout: a.timeout, ClientToken: a.token, UserAgent: "kmsctl/" + release}
	if role.WebIdentityTokenFile == "" {
		from := *role.Source
		from.Endpoint, from.Region, from.CA = place.Endpoint, place.Region, place.CA
		var err error
		if source, err = a.clientConfig(ctx, from); err != nil {
			return client.Credentials{}, err
		}
	}
	return client.AssumeRoleOnce(ctx, source, role)
}

// end ends what the run has begun.
func (a *app) end() {
	for {
		a.mu.Lock()
		if len(a.providers) == 0 {
			a.mu.Unlock()
			return
		}
		p := a.providers[0]
		a.providers = a.providers[1:]
		a.mu.Unlock()
		p.Close() // says nothing
	}
}

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

// mfaCode returns a code of an MFA device: the given one, or else what somebody types.
func (a *app) mfaCode(ctx context.Context, serial string) (string, error) {
	code := a.mfa
	if code == "" {
		code = os.Getenv(envMFACode)
	}
	if code == "" {
		var err error
		if code, err = a.ask(ctx, "MFA code of "+serial+": "); err != nil {
			return "", err
		}
	}
	if !sixDigits.MatchString(code) {
		return "", usage("an MFA code has six digits")
	}
	return code, nil
}

// ask returns the line that somebody types at a terminal.
func (a *app) ask(ctx context.Context, question string) (string, error) {
	if !isTerminal(a.stdin) {
		return "", hint(usage("an MFA code is needed, and there is no terminal to ask for it"), "--mfa-code CODE, or %s", envMFACode)
	}
	fmt.Fprint(a.stderr, printable(question))
	line := make(chan string, 1)
	go func() { line <- readLine(a.stdin, 64) }() // a read of a terminal cannot be interrupted: it ends with the process
	select {
	case s := <-line:
		return strings.TrimSpace(s), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// readLine reads up to the end of a line, byte by byte, so that nothing behind it is taken, and at most most bytes.
func readLine(r io.Reader, most int) string {
	var line []byte
	var b [1]byte
	for len(line) < most {
		if _, err := r.Read(b[:]); err != nil || b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	return string(line)
}

// sessionName says which session a profile stands for: all that it, and what it is assumed with, say.
func sessionName(c client.Credentials) (string, error) {
	type what struct {
		Endpoint, Region, CA, AccessKeyID, Certificate                                                        string
		ARN, SessionName, ExternalID, SourceIdentity, MFASerial, WebIdentityTokenFile, Duration, Source, Kind string
	}
	w := what{Kind: "session-1", Endpoint: c.Endpoint, Region: c.Region, CA: string(c.CA), AccessKeyID: c.AccessKeyID, Certificate: string(c.Certificate)}
	if r := c.Role; r != nil {
		w.ARN, w.SessionName, w.ExternalID, w.SourceIdentity, w.MFASerial = r.ARN, r.SessionName, r.ExternalID, r.SourceIdentity, r.MFASerial
		w.WebIdentityTokenFile, w.Duration = r.WebIdentityTokenFile, r.Duration.String()
		if r.Source != nil {
			var err error
			if w.Source, err = sessionName(*r.Source); err != nil {
				return "", err
			}
		}
	}
	b, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// cacheFolder returns the folder of sessions, which only its owner can use, by the XDG Base Directory Specification.
func cacheFolder() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "kmsctl")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ok || int(owner.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s must be a folder of yours, with mode 0700", dir)
	}
	return dir, nil
}

func sessionPath(c client.Credentials) (string, error) {
	dir, err := cacheFolder()
	if err != nil {
		return "", err
	}
	name, err := sessionName(c)
	return filepath.Join(dir, name+".yaml"), err
}

// cachedSession returns the session of an earlier run that is good for a while yet.
func (a *app) cachedSession(creds client.Credentials) (client.Credentials, bool) {
	path, err := sessionPath(creds)
	if err != nil {
		return client.Credentials{}, false // cacheSession says so
	}
	c, err := client.LoadFile(path)
	good := err == nil && c.Role == nil && !c.SessionToken.IsZero() && time.Until(c.Expiration) > client.RenewBefore
	return c, good
}

// cacheSession keeps a session for later runs. That it cannot is no error: they open others.
func (a *app) cacheSession(creds, session client.Credentials) {
	path, err := sessionPath(creds)
	if err == nil {
		var b []byte
		if b, err = session.Marshal(); err == nil {
			defer clear(b)
			err = durable.WriteFile(path, b, client.FileMode)
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		a.say("warning: the session is not kept for the next command: %v", err)
	}
}
