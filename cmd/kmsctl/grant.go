package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// grantView is a grant as JSON shows it.
type grantView struct {
	KeyID      string            `json:"key_id"`
	GrantID    string            `json:"grant_id"`
	Name       string            `json:"name,omitempty"`
	Grantee    string            `json:"grantee_principal"`
	Retiring   string            `json:"retiring_principal,omitempty"`
	Operations []string          `json:"operations"`
	Subset     map[string]string `json:"encryption_context_subset,omitempty"`
	Equals     map[string]string `json:"encryption_context_equals,omitempty"`
	Issuer     string            `json:"issuing_account"`
	Created    time.Time         `json:"creation_date"`
	Expires    time.Time         `json:"expires_at,omitzero"`
}

// operationName is an operation of a grant as AWS writes it: "GenerateDataKey".
func operationName(o kmsv1.GrantOperation) string {
	var b strings.Builder
	for _, word := range strings.Split(trimEnum(o, "GRANT_OPERATION_"), "_") {
		b.WriteString(title(word))
	}
	return b.String()
}

// operationsOf parses names of operations, in any spelling of their case.
func operationsOf(names []string) ([]kmsv1.GrantOperation, error) {
	var all []kmsv1.GrantOperation
	var known []string
	byName := map[string]kmsv1.GrantOperation{}
	for n := range int32(len(kmsv1.GrantOperation_name)) {
		if o := kmsv1.GrantOperation(n); o != 0 {
			byName[strings.ToLower(operationName(o))] = o
			known = append(known, operationName(o))
		}
	}
	for _, name := range names {
		o, ok := byName[strings.ToLower(name)]
		if !ok {
			return nil, hintAt(usage("--operation %q: there is no such operation of grants", shorten(name, 40)), "there are "+strings.Join(known, ", "))
		}
		all = append(all, o)
	}
	return all, nil
}

func viewOfGrant(g *kmsv1.GrantListEntry) grantView {
	v := grantView{
		KeyID: g.GetKeyId(), GrantID: g.GetGrantId(), Name: g.GetName(), Grantee: g.GetGranteePrincipal(), Retiring: g.GetRetiringPrincipal(), Operations: each(g.GetOperations(), operationName),
		Subset: g.GetConstraints().GetEncryptionContextSubset(), Equals: g.GetConstraints().GetEncryptionContextEquals(), Issuer: g.GetIssuingAccount(), Created: g.GetCreationDate().AsTime(),
	}
	if g.HasExpiresAt() {
		v.Expires = g.GetExpiresAt().AsTime()
	}
	return v
}

// constraints says in a word what bounds the grant.
func (g grantView) constraints() string {
	switch {
	case len(g.Equals) > 0:
		return "= " + tagsView(g.Equals).String()
	case len(g.Subset) > 0:
		return "⊇ " + tagsView(g.Subset).String()
	}
	return "-"
}

func (a *app) showGrants(list []*kmsv1.GrantListEntry, empty string) error {
	header := []string{"GRANT ID", "GRANTEE", "OPERATIONS", "CONTEXT", "EXPIRES", "NAME", "KEY"}
	return listing(a, each(list, viewOfGrant), empty, header, func(g grantView) []string {
		_, key, _ := strings.Cut(g.KeyID, ":key/")
		return []string{g.GrantID, g.Grantee, strings.Join(g.Operations, ","), g.constraints(), stamp(g.Expires), g.Name, key}
	})
}

func (a *app) grantCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "grant", Short: "delegate operations of a key",
		Long: `A grant allows one principal some operations with one key, beside all policies and until it is retired or revoked, or expires. It can be bound to an
encryption context. It counts from when it is made. KEY is a key's id or ARN.`,
		Example: "  kmsctl grant create --key KEY --grantee arn:aws:iam::111122223333:role/night-batch --operation Decrypt --context-subset tenant=42 --expires 8h\n  kmsctl grant list --key KEY",
	}, a.grantCreateCommand(), a.grantListCommand(), a.grantListRetirableCommand(), a.grantRetireCommand(), a.grantRevokeCommand())
}

// newGrantView is what making a grant is answered with. The token is no secret.
type newGrantView struct {
	GrantID string `json:"grant_id"`
	Token   string `json:"grant_token"`
}

func (a *app) grantCreateCommand() *cobra.Command {
	var r kmsv1.CreateGrantRequest_builder
	var operations []string
	var equals, subset contextFlag
	var expires string
	var change changeFlags
	cmd := &cobra.Command{
		Use: "create --key KEY --grantee ARN --operation NAME", Short: "make a grant", Args: takes(),
		Long: `create allows a principal operations with a key. With --context-subset the requests must have these pairs in their encryption context, with
--context-equals these and no others. With --name a repetition makes no second grant if it is the same to the end: with --expires as a time, such as
2026-11-23T20:00:00Z, or without. A grant of that name that differs from it in its end only is a conflict.`,
		Example: `  kmsctl grant create --key KEY --grantee arn:aws:iam::111122223333:user/alice --operation Encrypt,Decrypt
  kmsctl grant create --key KEY --grantee arn:aws:iam::111122223333:role/night-batch --operation Decrypt --context-equals tenant=42 --expires 2026-11-24T06:00:00Z --name tonight`,
	}
	f := cmd.Flags()
	f.StringVar(&r.KeyId, "key", "", "the `KEY`: id or ARN")
	f.StringVar(&r.GranteePrincipal, "grantee", "", "`ARN` of the user, role, session or account that may")
	f.StringSliceVar(&operations, "operation", nil, "`NAME` of an operation that it may, such as Decrypt (repeatable, or separated by commas)")
	f.StringVar(&r.RetiringPrincipal, "retiring-principal", "", "`ARN` of who may retire the grant")
	subset.add(cmd, "context-subset", "`KEY=VALUE` that the encryption context must have (repeatable)")
	equals.add(cmd, "context-equals", "`KEY=VALUE` of the only encryption context (repeatable)")
	f.StringVar(&r.Name, "name", "", "`NAME` of the grant: a repetition with the same end makes no second one")
	f.StringVar(&expires, "expires", "", "how long the grant counts, `DURATION` such as 8h or 30d, or until when, in RFC 3339 (default: until it is retired or revoked)")
	addGrantTokens(cmd, &r.GrantTokens)
	change.add(cmd)
	required(cmd, "key", "grantee", "operation")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		request := r
		var err error
		if request.Operations, err = operationsOf(operations); err != nil {
			return err
		}
		if request.Constraints, err = constraintsOf(&subset, &equals); err != nil {
			return err
		}
		if request.ExpiresAt, err = expiry(expires); err != nil {
			return err
		}
		request.DryRun, request.ClientToken = change.on, change.token
		if err := a.checkGrantName(ctx, c, request.Build()); err != nil {
			return err
		}
		out, err := c.Keys().CreateGrant(ctx, request.Build())
		if err != nil || change.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		v := newGrantView{out.GetGrantId(), out.GetGrantToken()}
		return a.emit(v, func() view { return pairs("grant id", v.GrantID, "grant token", v.Token) })
	})
	return cmd
}

// checkGrantName refuses a request for a named grant that there is already, with another end: kmsd would make a second one. Whoever may not list the
// grants of the key is told that nobody looked.
func (a *app) checkGrantName(ctx context.Context, c *client.Client, r *kmsv1.CreateGrantRequest) error {
	if r.GetName() == "" {
		return nil
	}
	list, err := grantsOf(ctx, c, kmsv1.ListGrantsRequest_builder{KeyId: r.GetKeyId(), GranteePrincipal: r.GetGranteePrincipal()})
	var fromKMS *client.Error
	if errors.As(err, &fromKMS) && fromKMS.Code == codes.PermissionDenied {
		a.say("warning: you may not list the grants of the key: if there is one of the name %s with another end, this makes a second one", r.GetName())
		return nil
	}
	if err != nil {
		return err
	}
	var other *kmsv1.GrantListEntry
	for _, g := range list {
		switch {
		case !sameButEnd(r, g) || g.HasExpiresAt() && g.GetExpiresAt().AsTime().Before(time.Now()):
		case g.HasExpiresAt() == r.HasExpiresAt() && g.GetExpiresAt().AsTime().Equal(r.GetExpiresAt().AsTime()):
			return nil // kmsd answers with this one
		default:
			other = g
		}
	}
	if other == nil {
		return nil
	}
	end := "does not end"
	if other.HasExpiresAt() {
		end = "ends at " + other.GetExpiresAt().AsTime().Format(time.RFC3339Nano)
	}
	return &codedError{
		fmt.Errorf("there is such a grant of the name %q already, %s, which %s", r.GetName(), other.GetGrantId(), end),
		"give the same end by --expires, as a time (none if it does not end), or another --name, or revoke it first", exitConflict,
	}
}

// sameButEnd reports whether a grant has the parameters of a request, whatever its end.
func sameButEnd(r *kmsv1.CreateGrantRequest, g *kmsv1.GrantListEntry) bool {
	sorted := func(l []kmsv1.GrantOperation) []kmsv1.GrantOperation {
		return slices.Compact(slices.Sorted(slices.Values(l)))
	}
	x, y := r.GetConstraints(), g.GetConstraints()
	return r.GetName() == g.GetName() && r.GetGranteePrincipal() == g.GetGranteePrincipal() && r.GetRetiringPrincipal() == g.GetRetiringPrincipal() &&
		slices.Equal(sorted(r.GetOperations()), sorted(g.GetOperations())) && maps.Equal(x.GetEncryptionContextSubset(), y.GetEncryptionContextSubset()) &&
		maps.Equal(x.GetEncryptionContextEquals(), y.GetEncryptionContextEquals())
}

func grantsOf(ctx context.Context, c *client.Client, r kmsv1.ListGrantsRequest_builder) ([]*kmsv1.GrantListEntry, error) {
	return allPages(func(marker string) ([]*kmsv1.GrantListEntry, string, error) {
		r.Limit, r.Marker = 100, marker
		out, err := c.Keys().ListGrants(ctx, r.Build())
		return out.GetGrants(), out.GetNextMarker(), err
	})
}

func constraintsOf(subset, equals *contextFlag) (*kmsv1.GrantConstraints, error) {
	part, err := subset.pairs()
	if err != nil {
		return nil, err
	}
	whole, err := equals.pairs()
	switch {
	case err != nil:
		return nil, err
	case len(part) > 0 && len(whole) > 0:
		return nil, usage("--context-subset and --context-equals: give one of them")
	case len(part) == 0 && len(whole) == 0:
		return nil, nil
	}
	return kmsv1.GrantConstraints_builder{EncryptionContextSubset: part, EncryptionContextEquals: whole}.Build(), nil
}

// expiry parses when something ends: an instant, or how long from now on.
func expiry(s string) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return timestamppb.New(t), nil
	}
	d, err := duration("expires", s)
	if err != nil {
		return nil, usage("--expires %q: must be a duration such as 8h or 30d, or a time such as 2026-11-23T15:04:05Z", s)
	}
	return timestamppb.New(time.Now().Add(d)), nil
}

func (a *app) grantListCommand() *cobra.Command {
	var key, grantee, id string
	cmd := &cobra.Command{
		Use: "list --key KEY", Short: "list the grants of a key", Args: takes(),
		Long:    "list shows the grants of a key, in the order of their ids.",
		Example: "  kmsctl grant list --key KEY\n  kmsctl grant list --key KEY --grantee arn:aws:iam::111122223333:user/alice -o json",
	}
	cmd.Flags().StringVar(&key, "key", "", "the `KEY`: id or ARN")
	cmd.Flags().StringVar(&grantee, "grantee", "", "only grants for the principal `ARN`")
	cmd.Flags().StringVar(&id, "grant-id", "", "only the grant with this `ID`")
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		list, err := grantsOf(ctx, c, kmsv1.ListGrantsRequest_builder{KeyId: key, GrantId: id, GranteePrincipal: grantee})
		if err != nil {
			return err
		}
		return a.showGrants(list, "there are no such grants of the key")
	})
	return cmd
}

func (a *app) grantListRetirableCommand() *cobra.Command {
	var principal string
	cmd := &cobra.Command{
		Use: "list-retirable --principal ARN", Short: "list the grants that a principal may retire", Args: takes(),
		Long:    "list-retirable shows the grants of all keys that name a principal of your account as the one who may retire them.",
		Example: "  kmsctl grant list-retirable --principal arn:aws:iam::111122223333:role/night-batch",
	}
	cmd.Flags().StringVar(&principal, "principal", "", "`ARN` of the retiring principal")
	required(cmd, "principal")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		list, err := allPages(func(marker string) ([]*kmsv1.GrantListEntry, string, error) {
			out, err := c.Keys().ListRetirableGrants(ctx, kmsv1.ListRetirableGrantsRequest_builder{RetiringPrincipal: principal, Limit: 100, Marker: marker}.Build())
			return out.GetGrants(), out.GetNextMarker(), err
		})
		if err != nil {
			return err
		}
		return a.showGrants(list, "there are no grants that it may retire")
	})
	return cmd
}

// endedGrant is what the end of a grant is answered with.
type endedGrant struct {
	KeyID   string `json:"key_id"`
	GrantID string `json:"grant_id,omitempty"`
}

func (a *app) grantRetireCommand() *cobra.Command {
	var r kmsv1.RetireGrantRequest_builder
	var change changeFlags
	cmd := &cobra.Command{
		Use: "retire --grant-token TOKEN | --key ARN --grant-id ID", Short: "end a grant, as the one it is for", Args: takes(),
		Long:    "retire ends a grant, at once. The grantee may, if the grant says so, the retiring principal, and whoever a policy allows. The grant is named by a token, or by the key's ARN and its id.",
		Example: "  kmsctl grant retire --grant-token TOKEN\n  kmsctl grant retire --key arn:aws:kms:local:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab --grant-id ID",
	}
	cmd.Flags().StringVar(&r.GrantToken, "grant-token", "", "a `TOKEN` of the grant; it is no secret")
	cmd.Flags().StringVar(&r.KeyId, "key", "", "`ARN` of the key")
	cmd.Flags().StringVar(&r.GrantId, "grant-id", "", "`ID` of the grant")
	change.add(cmd)
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		if (r.GrantToken == "") == (r.KeyId == "" && r.GrantId == "") || (r.KeyId == "") != (r.GrantId == "") {
			return usage("give --grant-token, or both --key and --grant-id")
		}
		r.DryRun, r.ClientToken = change.on, change.token
		out, err := c.Keys().RetireGrant(ctx, r.Build())
		if err != nil || change.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(endedGrant{out.GetKeyId(), r.GrantId}, "retired a grant of %s", out.GetKeyId())
	})
	return cmd
}

func (a *app) grantRevokeCommand() *cobra.Command {
	var key string
	var change changeFlags
	cmd := &cobra.Command{
		Use: "revoke GRANT-ID --key KEY", Short: "end a grant, as one who manages the key", Args: takes("GRANT-ID"),
		Long:    "revoke ends a grant, at once: its principal is denied what only the grant allowed.",
		Example: "  kmsctl grant revoke GRANT-ID --key KEY",
	}
	cmd.Flags().StringVar(&key, "key", "", "the `KEY`: id or ARN")
	change.add(cmd)
	required(cmd, "key")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if !change.on {
			if err := a.confirm("Revoke the grant %s?", args[0]); err != nil {
				return err
			}
		}
		out, err := c.Keys().RevokeGrant(ctx, kmsv1.RevokeGrantRequest_builder{KeyId: key, GrantId: args[0], DryRun: change.on, ClientToken: change.token}.Build())
		if err != nil || change.on {
			return a.rehearsed(err, out.GetDryRun())
		}
		return a.done(endedGrant{out.GetKeyId(), args[0]}, "%s", fmt.Sprintf("revoked the grant %s of %s", args[0], out.GetKeyId()))
	})
	return cmd
}
