package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/durable"
)

// profileView is the profile of a role as JSON shows it.
type profileView struct {
	Name        string `json:"name"`
	Credentials string `json:"credentials"`
	RoleARN     string `json:"role_arn"`
	Source      string `json:"source_profile,omitempty"`
	TokenFile   string `json:"web_identity_token_file,omitempty"`
}

func (a *app) setProfileCommand() *cobra.Command {
	var r client.Role
	var lasts string
	cmd := &cobra.Command{
		Use: "set-profile NAME --role-arn ARN --source-profile CONTEXT", Short: "make a context that assumes a role", Args: takes("NAME"),
		Long: `set-profile makes a context whose commands run as a role: kmsctl assumes it by itself, with the credentials of another context (--source-profile, which
may be the profile of a role, too) or a web identity token, and keeps the session for the next command until five minutes before its end. With --mfa-serial it asks
for a code when it opens a session. The profile is a file that can be written by hand; one without names in it serves the Go client, too.`,
		Example: `  kmsctl config set-profile night --role-arn arn:aws:iam::111122223333:role/night-batch --source-profile local
  kmsctl config set-profile admin --role-arn arn:aws:iam::111122223333:role/admin --source-profile alice --mfa-serial arn:aws:iam::111122223333:mfa/alice-phone --duration 15m
  kmsctl --profile night whoami`,
	}
	f := cmd.Flags()
	f.StringVar(&r.ARN, "role-arn", "", "`ARN` of the role")
	f.StringVar(&r.SourceProfile, "source-profile", "", "the `CONTEXT`, or path of a credentials file, that the role is assumed with")
	f.StringVar(&r.WebIdentityTokenFile, "web-identity-token-file", "", "`FILE` with a token that the role is assumed by; endpoint, region and CA are those of the current credentials")
	f.StringVar(&r.SessionName, "role-session-name", "", "`NAME` of the sessions (default: kmsd- and the time)")
	f.StringVar(&lasts, "duration", "", "how long a session shall be, `DURATION` of 15m to 12h (default 1h)")
	f.StringVar(&r.ExternalID, "external-id", "", "`ID` that the role's trust policy asks for")
	f.StringVar(&r.MFASerial, "mfa-serial", "", "`SERIAL` number of your MFA device")
	f.StringVar(&r.SourceIdentity, "source-identity", "", "`NAME` of who is behind the sessions")
	required(cmd, "role-arn")
	cmd.RunE = a.runs(func(_ context.Context, args []string) error {
		n, err := seconds("duration", lasts)
		if err != nil {
			return err
		}
		r.Duration = time.Duration(n) * time.Second
		return a.setProfile(args[0], r)
	})
	return cmd
}

func (a *app) setProfile(name string, r client.Role) error {
	if !contextName.MatchString(name) {
		return usage("%q: a context's name has 1 to 64 of A-Z a-z 0-9 . _ -, and begins with a letter or digit", name)
	}
	if (r.SourceProfile == "") == (r.WebIdentityTokenFile == "") {
		return usage("give --source-profile or --web-identity-token-file")
	}
	cfg, err := loadConfig()
	if err != nil {
		return err
	}
	c := client.Credentials{Role: &r}
	if err := a.completeProfile(&c, cfg); err != nil {
		return err
	}
	b, err := c.Marshal()
	if err != nil {
		return usageError{err}
	}
	path, err := profilePath(name)
	if err != nil {
		return err
	}
	if old, ok := cfg.Contexts[name]; ok && old != path {
		return &codedError{fmt.Errorf("the context %s stands for %s", name, old), "choose another name, or kmsctl config delete-context " + name, exitConflict}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	if err := durable.WriteFile(path, b, client.FileMode); err != nil {
		return err
	}
	if cfg.Contexts == nil {
		cfg.Contexts = map[string]string{}
	}
	cfg.Contexts[name] = path
	if err := cfg.save(); err != nil {
		return err
	}
	return a.done(profileView{name, path, r.ARN, r.SourceProfile, r.WebIdentityTokenFile}, "the context %s assumes %s; its profile is %s", name, r.ARN, path)
}

// completeProfile makes paths whole and checks what names stand for.
func (a *app) completeProfile(c *client.Credentials, cfg config) error {
	r := c.Role
	var err error
	switch {
	case r.WebIdentityTokenFile != "":
		if r.WebIdentityTokenFile, err = filepath.Abs(r.WebIdentityTokenFile); err != nil {
			return err
		}
		at, err := a.loadCredentials()
		if err != nil {
			return err
		}
		c.Endpoint, c.Region, c.CA = at.Endpoint, at.Region, at.CA
	case strings.Contains(r.SourceProfile, "/"):
		if r.SourceProfile, err = filepath.Abs(r.SourceProfile); err != nil {
			return err
		}
		_, err = client.LoadFile(r.SourceProfile)
	default:
		if _, ok := cfg.Contexts[r.SourceProfile]; !ok {
			return noContext(r.SourceProfile)
		}
	}
	return err
}

func profilePath(name string) (string, error) {
	path, err := configPath()
	return filepath.Join(filepath.Dir(path), "profiles", name+".yaml"), err
}
