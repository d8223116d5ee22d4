package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// sessionView is temporary credentials as JSON shows them, without their secret.
type sessionView struct {
	AccessKeyID string    `json:"access_key_id"`
	Expiration  time.Time `json:"expiration"`
	ARN         string    `json:"arn,omitempty"`
	ID          string    `json:"assumed_role_id,omitempty"`
	PackedSize  int32     `json:"packed_policy_size,omitempty"`
	factor      string    // "with a second factor, ", without one, or "" where there can be none
}

// openSessionView is temporary credentials with their secret, for whoever asks for them.
type openSessionView struct {
	sessionView
	Secret string `json:"secret_access_key"`
	Token  string `json:"session_token"`
}

// sessionFlags say where temporary credentials go.
type sessionFlags struct {
	out   string
	shell bool
}

func (s *sessionFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.out, "out", "", "credentials `FILE` to make; it must not exist")
	cmd.Flags().BoolVar(&s.shell, "shell", false, "print exports of AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN for a shell")
}

// checkFactor refuses a code without the device that it is of.
func (a *app) checkFactor(serial string) error {
	if a.mfa != "" && serial == "" {
		return hintAt(usage("--mfa-code needs --mfa-serial: the code alone is not used"), "kmsctl user list-mfa USER shows the serial numbers")
	}
	return nil
}

// factorOf says whether a session tells of a second factor.
func factorOf(serial string) string {
	if serial == "" {
		return "without a second factor, "
	}
	return "with a second factor, "
}

func (a *app) checkSession(s *sessionFlags) error {
	switch {
	case s.out != "" && s.shell:
		return usage("--out and --shell: give one of them")
	case s.out == standard:
		return usage("--out takes a file; -o json prints the secret")
	case s.out != "":
		return absent(s.out, "choose another name")
	case !s.shell && a.output == formatTable:
		return hintAt(usage("--out is missing: the secret is not printed"), "--out FILE writes a credentials file; --shell prints exports, -o json everything")
	}
	return nil
}

// deliverSession hands temporary credentials over.
func (a *app) deliverSession(s *sessionFlags, creds client.Credentials, v sessionView) error {
	v.AccessKeyID, v.Expiration = creds.AccessKeyID, creds.Expiration
	switch {
	case s.out != "":
		if err := writeCredentials(s.out, creds); err != nil {
			return err
		}
		who := ""
		if v.ARN != "" {
			who = " of " + v.ARN
		}
		return a.done(v, "wrote credentials%s, "+v.factor+"good until %s, to %s", who, stamp(v.Expiration), s.out)
	case s.shell:
		_, err := fmt.Fprintf(a.stdout, "export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\nexport AWS_SESSION_TOKEN=%s\n",
			shellQuoted(creds.AccessKeyID), shellQuoted(string(creds.SecretAccessKey.Expose())), shellQuoted(string(creds.SessionToken.Expose())))
		return err
	}
	return a.emit(openSessionView{v, string(creds.SecretAccessKey.Expose()), string(creds.SessionToken.Expose())}, nil)
}

// shellQuoted is s as one word of a POSIX shell.
func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// sessionOf puts what kmsd returned beside where it is.
func sessionOf(at client.Credentials, c *stsv1.Credentials) client.Credentials {
	return client.Credentials{
		Endpoint: at.Endpoint, Region: at.Region, CA: at.CA, AccessKeyID: c.GetAccessKeyId(), SecretAccessKey: crypto.NewSecret([]byte(c.GetSecretAccessKey())),
		SessionToken: crypto.NewSecret([]byte(c.GetSessionToken())), Expiration: c.GetExpiration().AsTime(),
	}
}

func (a *app) stsCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "sts", Short: "get temporary credentials",
		Long: `Temporary credentials are an access key with a token, and end by themselves. They go into a credentials file (--out, mode 0600), and are printed only if
--shell or -o json says so. For daily use a profile is simpler: kmsctl config set-profile.`,
		Example: "  kmsctl sts assume-role --role-arn arn:aws:iam::111122223333:role/night-batch --out night.yaml\n  kmsctl --credentials night.yaml whoami",
	}, a.assumeRoleCommand(), a.assumeRoleWithWebIdentityCommand(), a.getSessionTokenCommand(), a.getCallerIdentityCommand())
}

// roleFlags say which role to assume, and how.
type roleFlags struct {
	arn, name, lasts, policy, externalID, mfaSerial, source string
	policyARNs, transitive                                  []string
	tags                                                    tagFlags
}

func (r *roleFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.arn, "role-arn", "", "`ARN` of the role")
	f.StringVar(&r.name, "role-session-name", "", "`NAME` of the session, in its ARN and in the audit log (default: kmsctl- and the time)")
	f.StringVar(&r.lasts, "duration", "", "how long the session shall be, `DURATION` from 15m on (default 1h)")
	f.StringVar(&r.policy, "policy", "", "`FILE` with a policy that the session shall not exceed")
	f.StringArrayVar(&r.policyARNs, "policy-arn", nil, "`ARN` of a managed policy that the session shall not exceed (repeatable)")
	required(cmd, "role-arn")
}

func (r *roleFlags) addCaller(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.externalID, "external-id", "", "`ID` that the role's trust policy asks for")
	f.StringVar(&r.mfaSerial, "mfa-serial", "", "`SERIAL` number of your MFA device; its code is asked for, or --mfa-code")
	f.StringVar(&r.source, "source-identity", "", "`NAME` of who is behind the session")
	f.StringArrayVar(&r.transitive, "transitive-tag-key", nil, "`KEY` of a tag that goes over to further sessions (repeatable)")
	r.tags.add(cmd, "the session")
}

// session fills in what both ways of assuming a role share.
func (a *app) session(ctx context.Context, r *roleFlags) (policy string, lasts int32, err error) {
	if r.name == "" {
		r.name = fmt.Sprintf("kmsctl-%d", time.Now().Unix())
	}
	if lasts, err = seconds("duration", r.lasts); err != nil || r.policy == "" {
		return "", lasts, err
	}
	b, err := a.read(ctx, r.policy, maxPolicy)
	return string(b), lasts, err
}

func (a *app) assumeRoleCommand() *cobra.Command {
	var r roleFlags
	var to sessionFlags
	cmd := &cobra.Command{
		Use: "assume-role --role-arn ARN --out FILE", Short: "open a session of a role", Args: takes(),
		Long: `assume-role opens a session of a role whose trust policy names you. With its credentials you may do what the role may, and nothing of your own. A
session that is opened by another one is an hour long at most.`,
		Example: `  kmsctl sts assume-role --role-arn arn:aws:iam::111122223333:role/night-batch --out night.yaml
  kmsctl sts assume-role --role-arn arn:aws:iam::111122223333:role/admin --mfa-serial arn:aws:iam::111122223333:mfa/alice-phone --duration 15m --out admin.yaml`,
	}
	r.add(cmd)
	r.addCaller(cmd)
	to.add(cmd)
	cmd.RunE = a.runs(func(ctx context.Context, _ []string) error {
		if err := a.checkSession(&to); err != nil {
			return err
		}
		if err := a.checkFactor(r.mfaSerial); err != nil {
			return err
		}
		policy, lasts, err := a.session(ctx, &r)
		if err != nil {
			return err
		}
		request := stsv1.AssumeRoleRequest_builder{
			RoleArn: r.arn, RoleSessionName: r.name, Policy: policy, DurationSeconds: lasts, ExternalId: r.externalID, SerialNumber: r.mfaSerial, SourceIdentity: r.source,
			TransitiveTagKeys: r.transitive, PolicyArns: each(r.policyARNs, policyDescriptor),
		}
		if request.Tags, err = r.tags.list(); err != nil {
			return err
		}
		c, creds, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		if r.mfaSerial != "" {
			if request.TokenCode, err = a.mfaCode(ctx, r.mfaSerial); err != nil {
				return err
			}
		}
		out, err := c.STS().AssumeRole(ctx, request.Build())
		if err != nil {
			return policyFault(err, policy)
		}
		user := out.GetAssumedRoleUser()
		return a.deliverSession(&to, sessionOf(creds, out.GetCredentials()), sessionView{ARN: user.GetArn(), ID: user.GetAssumedRoleId(), PackedSize: out.GetPackedPolicySize(), factor: factorOf(r.mfaSerial)})
	})
	return cmd
}

func policyDescriptor(arn string) *stsv1.PolicyDescriptorType {
	return stsv1.PolicyDescriptorType_builder{Arn: arn}.Build()
}

func (a *app) assumeRoleWithWebIdentityCommand() *cobra.Command {
	var r roleFlags
	var to sessionFlags
	var token string
	cmd := &cobra.Command{
		Use: "assume-role-with-web-identity --role-arn ARN --web-identity-token-file FILE --out FILE", Short: "open a session of a role by a token of an identity provider", Args: takes(),
		Long: `assume-role-with-web-identity opens a session of a role by an OpenID Connect ID token, such as a Kubernetes service account's, in place of credentials:
of the credentials file only endpoint, region and CA count. The role's account must know the provider (kmsctl identity-provider), its trust policy must name it.`,
		Example: "  kmsctl sts assume-role-with-web-identity --role-arn arn:aws:iam::111122223333:role/app --web-identity-token-file token --out app.yaml",
	}
	r.add(cmd)
	cmd.Flags().StringVar(&token, "web-identity-token-file", "", "`FILE` with the token")
	required(cmd, "web-identity-token-file")
	to.add(cmd)
	cmd.RunE = a.runs(func(ctx context.Context, _ []string) error {
		if err := a.checkSession(&to); err != nil {
			return err
		}
		policy, lasts, err := a.session(ctx, &r)
		if err != nil {
			return err
		}
		at, err := a.loadCredentials()
		if err != nil {
			return err
		}
		at = client.Credentials{Endpoint: at.Endpoint, Region: at.Region, CA: at.CA}
		creds, err := client.AssumeRoleOnce(ctx, client.Config{Credentials: at, Timeout: a.timeout, UserAgent: "kmsctl/" + release}, client.Role{
			ARN: r.arn, SessionName: r.name, Duration: time.Duration(lasts) * time.Second, Policy: policy, PolicyARNs: r.policyARNs, WebIdentityTokenFile: token,
		})
		if err != nil {
			return policyFault(err, policy)
		}
		return a.deliverSession(&to, creds, sessionView{})
	})
	return cmd
}

func (a *app) getSessionTokenCommand() *cobra.Command {
	var lasts, serial string
	var to sessionFlags
	cmd := &cobra.Command{
		Use: "get-session-token --out FILE", Short: "get temporary credentials of your own", Args: takes(),
		Long: `get-session-token returns temporary credentials that may do what you may. With --mfa-serial they tell that MFA was used, which a policy can ask for
by aws:MultiFactorAuthPresent. A session of a role cannot call it.`,
		Example: "  kmsctl sts get-session-token --mfa-serial arn:aws:iam::111122223333:mfa/alice-phone --duration 8h --out alice-mfa.yaml",
	}
	cmd.Flags().StringVar(&lasts, "duration", "", "how long they shall be good, `DURATION` of 15m to 36h (default 12h; the root user 1h at most)")
	cmd.Flags().StringVar(&serial, "mfa-serial", "", "`SERIAL` number of your MFA device; its code is asked for, or --mfa-code")
	to.add(cmd)
	cmd.RunE = a.runs(func(ctx context.Context, _ []string) error {
		if err := a.checkSession(&to); err != nil {
			return err
		}
		if err := a.checkFactor(serial); err != nil {
			return err
		}
		r := stsv1.GetSessionTokenRequest_builder{SerialNumber: serial}
		var err error
		if r.DurationSeconds, err = seconds("duration", lasts); err != nil {
			return err
		}
		c, creds, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		if serial != "" {
			if r.TokenCode, err = a.mfaCode(ctx, serial); err != nil {
				return err
			}
		}
		out, err := c.STS().GetSessionToken(ctx, r.Build())
		if err != nil {
			return err
		}
		return a.deliverSession(&to, sessionOf(creds, out.GetCredentials()), sessionView{factor: factorOf(serial)})
	})
	return cmd
}

func (a *app) getCallerIdentityCommand() *cobra.Command {
	cmd := a.whoamiCommand()
	cmd.Use = "get-caller-identity"
	cmd.Long = "get-caller-identity asks kmsd whom the credentials belong to, as kmsctl whoami does. It needs no permission."
	cmd.Example = "  kmsctl sts get-caller-identity -o json"
	return cmd
}
