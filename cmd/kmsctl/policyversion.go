package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// versionOfPolicy is a version of a managed policy as JSON shows it, without its document.
type versionOfPolicy struct {
	VersionID string    `json:"version_id"`
	Default   bool      `json:"is_default_version"`
	Created   time.Time `json:"create_date"`
}

func viewOfVersion(v *iamv1.PolicyVersion) versionOfPolicy {
	return versionOfPolicy{v.GetVersionId(), v.GetIsDefaultVersion(), v.GetCreateDate().AsTime()}
}

func (a *app) policyVersionsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "versions POLICY", Short: "list the versions of a managed policy", Args: takes("POLICY"),
		Long:    "versions lists the versions of a managed policy, the latest first. One of them is the default: it is the one that counts.",
		Example: "  kmsctl policy versions decrypt-app",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			arn, err := policyARN(ctx, c, args[0])
			if err != nil {
				return err
			}
			out, err := c.IAM().ListPolicyVersions(ctx, iamv1.ListPolicyVersionsRequest_builder{PolicyArn: arn}.Build())
			if err != nil {
				return err
			}
			return listing(a, each(out.GetVersions(), viewOfVersion), "", []string{"DEFAULT", "VERSION", "CREATED"}, func(v versionOfPolicy) []string {
				mark := ""
				if v.Default {
					mark = "*"
				}
				return []string{mark, v.VersionID, stamp(v.Created)}
			})
		}),
	}
}

func (a *app) createVersionCommand() *cobra.Command {
	var makeDefault bool
	cmd := &cobra.Command{
		Use: "create-version POLICY [FILE]", Short: "add a version to a managed policy", Args: takes("POLICY", "[FILE]"),
		Long: `create-version adds the document in FILE, or on standard input, as a version. It counts only when it is the default: with --set-as-default at once,
wherever the policy is attached. A policy has at most five versions. Look at kmsctl policy diff before.`,
		Example: "  kmsctl policy create-version decrypt-app policy.json --set-as-default",
	}
	cmd.Flags().BoolVar(&makeDefault, "set-as-default", false, "make it the version that counts")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		document, err := a.policyInput(ctx, args, 1)
		if err != nil {
			return err
		}
		arn, err := policyARN(ctx, c, args[0])
		if err != nil {
			return err
		}
		out, err := c.IAM().CreatePolicyVersion(ctx, iamv1.CreatePolicyVersionRequest_builder{PolicyArn: arn, PolicyDocument: document, SetAsDefault: makeDefault}.Build())
		if err != nil {
			return policyFault(err, document)
		}
		a.findings(out.GetFindings(), true)
		v := viewOfVersion(out.GetPolicyVersion())
		which := "it does not count yet: kmsctl policy set-default-version"
		if v.Default {
			which = "it counts from now on"
		}
		return a.done(v, "created the version %s of %s; %s", v.VersionID, arn, which)
	})
	return cmd
}

func (a *app) setDefaultVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "set-default-version POLICY VERSION", Short: "choose the version of a managed policy that counts", Args: takes("POLICY", "VERSION"),
		Long:    "set-default-version makes a version the one that counts, at once and wherever the policy is attached.",
		Example: "  kmsctl policy set-default-version decrypt-app v1",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			arn, err := policyARN(ctx, c, args[0])
			if err != nil {
				return err
			}
			if _, err := c.IAM().SetDefaultPolicyVersion(ctx, iamv1.SetDefaultPolicyVersionRequest_builder{PolicyArn: arn, VersionId: args[1]}.Build()); err != nil {
				return err
			}
			return a.done(removed{PolicyARN: arn, VersionID: args[1]}, "the version %s of %s counts from now on", args[1], arn)
		}),
	}
}

func (a *app) deleteVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete-version POLICY VERSION", Short: "remove a version of a managed policy", Args: takes("POLICY", "VERSION"),
		Long:    "delete-version removes a version that is not the default one.",
		Example: "  kmsctl policy delete-version decrypt-app v1",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			arn, err := policyARN(ctx, c, args[0])
			if err != nil {
				return err
			}
			if err := a.confirm("Delete the version %s of %s?", args[1], arn); err != nil {
				return err
			}
			if _, err := c.IAM().DeletePolicyVersion(ctx, iamv1.DeletePolicyVersionRequest_builder{PolicyArn: arn, VersionId: args[1]}.Build()); err != nil {
				return conflictHint(err, "it is the one that counts: kmsctl policy set-default-version chooses another")
			}
			return a.done(removed{PolicyARN: arn, VersionID: args[1]}, "deleted the version %s of %s", args[1], arn)
		}),
	}
}

// entityView is what a managed policy is attached to.
type entityView struct {
	Kind string `json:"entity_type"`
	Name string `json:"name"`
	ID   string `json:"id"`
}

func (a *app) policyEntitiesCommand() *cobra.Command {
	var usageFilter string
	cmd := &cobra.Command{
		Use: "entities POLICY", Short: "list what a managed policy is attached to", Args: takes("POLICY"),
		Long:    "entities lists the users, groups and roles that a managed policy is attached to, or whose permissions boundary it is.",
		Example: "  kmsctl policy entities decrypt-app\n  kmsctl policy entities developers-boundary --usage boundary",
	}
	cmd.Flags().StringVar(&usageFilter, "usage", "", "only `USAGE`: policy or boundary")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		r := iamv1.ListEntitiesForPolicyRequest_builder{MaxItems: 1000}
		switch usageFilter {
		case "":
		case "policy":
			r.PolicyUsageFilter = iamv1.PolicyUsageType_POLICY_USAGE_TYPE_PERMISSIONS_POLICY
		case "boundary":
			r.PolicyUsageFilter = iamv1.PolicyUsageType_POLICY_USAGE_TYPE_PERMISSIONS_BOUNDARY
		default:
			return usage("--usage %q: must be policy or boundary", usageFilter)
		}
		var err error
		if r.PolicyArn, err = policyARN(ctx, c, args[0]); err != nil {
			return err
		}
		all, err := allPages(func(marker string) ([]entityView, string, error) {
			r.Marker = marker
			out, err := c.IAM().ListEntitiesForPolicy(ctx, r.Build())
			return entitiesOf(out), out.GetMarker(), err
		})
		if err != nil {
			return err
		}
		return listing(a, append([]entityView{}, all...), fmt.Sprintf("%s is attached to nothing", args[0]), []string{"KIND", "NAME", "ID"}, func(e entityView) []string {
			return []string{e.Kind, e.Name, e.ID}
		})
	})
	return cmd
}

func entitiesOf(out *iamv1.ListEntitiesForPolicyResponse) []entityView {
	var all []entityView
	for _, e := range out.GetPolicyGroups() {
		all = append(all, entityView{"group", e.GetGroupName(), e.GetGroupId()})
	}
	for _, e := range out.GetPolicyUsers() {
		all = append(all, entityView{"user", e.GetUserName(), e.GetUserId()})
	}
	for _, e := range out.GetPolicyRoles() {
		all = append(all, entityView{"role", e.GetRoleName(), e.GetRoleId()})
	}
	return all
}
