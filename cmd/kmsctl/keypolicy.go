package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func (a *app) keyPolicyCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "policy", Short: "show and replace a key's policy",
		Long:    "A key's policy says who may use and manage it, in AWS's policy language. KEY is a key's id or ARN.",
		Example: "  kmsctl key policy get KEY > policy.json\n  kmsctl key policy put KEY policy.json",
	}, a.keyPolicyGetCommand(), a.keyPolicyPutCommand())
}

// keyPolicyView is a key's policy as JSON shows it.
type keyPolicyView struct {
	PolicyName string          `json:"policy_name"`
	Updated    time.Time       `json:"last_updated_date"`
	Policy     json.RawMessage `json:"policy"`
}

func (a *app) keyPolicyGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get KEY", Short: "print a key's policy", Args: takes("KEY"),
		Long:    "get prints a key's policy as it was put; with -o json or yaml, with its name and date around it. KEY is a key's id or ARN.",
		Example: "  kmsctl key policy get 1234abcd-12ab-34cd-56ef-1234567890ab > policy.json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Keys().GetKeyPolicy(ctx, kmsv1.GetKeyPolicyRequest_builder{KeyId: args[0]}.Build())
			if err != nil {
				return err
			}
			if a.output == formatTable {
				return a.printDocument(out.GetPolicy())
			}
			return a.emit(keyPolicyView{out.GetPolicyName(), out.GetLastUpdatedDate().AsTime(), json.RawMessage(out.GetPolicy())}, nil)
		}),
	}
}

// printDocument prints a document as it is. JSON that kmsd took has no control characters but white space.
func (a *app) printDocument(document string) error {
	_, err := fmt.Fprintln(a.stdout, strings.TrimRight(document, "\n"))
	return err
}

func (a *app) keyPolicyPutCommand() *cobra.Command {
	var bypass bool
	var f changeFlags
	cmd := &cobra.Command{
		Use: "put KEY [FILE]", Short: "replace a key's policy", Args: takes("KEY", "[FILE]"),
		Long: `put replaces a key's policy by the JSON document in FILE, or on standard input. A policy under which the caller could not change it again is
refused, unless --bypass-policy-lockout-safety-check is given.`,
		Example: "  kmsctl key policy put 1234abcd-12ab-34cd-56ef-1234567890ab policy.json",
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&bypass, "bypass-policy-lockout-safety-check", false, "accept a policy that locks you out")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		policy, err := a.policyInput(ctx, args, 1)
		if err != nil {
			return err
		}
		out, err := c.Keys().PutKeyPolicy(ctx, kmsv1.PutKeyPolicyRequest_builder{KeyId: args[0], Policy: policy, BypassPolicyLockoutSafetyCheck: bypass, DryRun: f.on, ClientToken: f.token}.Build())
		if err != nil {
			return policyFault(err, policy)
		}
		a.findings(out.GetFindings(), !f.on)
		if f.on {
			return a.rehearsed(nil, out.GetDryRun())
		}
		return a.done(changed{KeyID: out.GetKeyId()}, "replaced the policy of %s", out.GetKeyId())
	})
	return cmd
}

var place = regexp.MustCompile(`line (\d+), column (\d+)`)

// policyFault adds the line of the document that kmsd complains of.
func policyFault(err error, document string) error {
	var e *client.Error
	if !errors.As(err, &e) || e.Reason != "MalformedPolicyDocumentException" {
		return err
	}
	return documentFault(err, document)
}

// documentFault adds the line of the document that an error names.
func documentFault(err error, document string) error {
	at := place.FindStringSubmatch(err.Error())
	if at == nil {
		return err
	}
	n, numErr := strconv.Atoi(at[1])
	lines := strings.Split(document, "\n")
	if numErr != nil || n < 1 || n > len(lines) {
		return err
	}
	return hint(err, "line %d is: %s", n, shorten(strings.TrimSpace(lines[n-1]), 200))
}
