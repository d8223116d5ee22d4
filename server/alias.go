package server

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// onAlias asks for an action on an alias of the caller's account, whether it exists or not.
func (c *call) onAlias(a authz.Action, name string) (authz.Grant, error) {
	r := authz.Resource{Kind: authz.Alias, Account: c.account(), ARN: c.s.place.AliasARN(c.account(), name), Membership: c.who.Membership}
	c.touched("ALIAS", r.ARN, r.Account, "")
	return c.allow(a, &r)
}

// onTarget asks for an action on the key that an existing alias points to, and returns an error if there is no such alias.
func (c *call) onTarget(a authz.Action, name string) (authz.Grant, error) {
	return c.authorize(a, c.lookUp(keystore.Ref{Account: c.account(), Alias: name}, ""))
}

func checkCreateAlias(v *violations, r *kmsv1.CreateAliasRequest) {
	v.given("target_key_id", r.GetTargetKeyId())
}

func createAlias(c *call, r *kmsv1.CreateAliasRequest) (*kmsv1.CreateAliasResponse, error) {
	if err := keystore.CheckAliasName(r.GetAliasName()); err != nil {
		return nil, err
	}
	t, err := c.byID("target_key_id", r.GetTargetKeyId())
	if err != nil {
		return nil, err
	}
	onAlias, err := c.onAlias(authz.KMSCreateAlias, r.GetAliasName())
	if err != nil {
		return nil, err
	}
	onKey, err := c.authorize(authz.KMSCreateAlias, t)
	if err != nil {
		return nil, err
	}
	keys, err := c.changingKeys()
	if err != nil {
		return nil, err
	}
	a, err := keys.CreateAlias(onAlias, onKey, c.account(), r.GetAliasName(), t.key.ID)
	if err != nil {
		return nil, err
	}
	return kmsv1.CreateAliasResponse_builder{AliasArn: a.ARN, KeyId: t.key.ARN}.Build(), nil
}

func checkUpdateAlias(v *violations, r *kmsv1.UpdateAliasRequest) {
	v.given("target_key_id", r.GetTargetKeyId())
}

func updateAlias(c *call, r *kmsv1.UpdateAliasRequest) (*kmsv1.UpdateAliasResponse, error) {
	if err := keystore.CheckAliasName(r.GetAliasName()); err != nil {
		return nil, err
	}
	t, err := c.byID("target_key_id", r.GetTargetKeyId())
	if err != nil {
		return nil, err
	}
	onAlias, err := c.onAlias(authz.KMSUpdateAlias, r.GetAliasName())
	if err != nil {
		return nil, err
	}
	onOld, err := c.onTarget(authz.KMSUpdateAlias, r.GetAliasName())
	if err != nil {
		return nil, err
	}
	onNew, err := c.authorize(authz.KMSUpdateAlias, t)
	if err != nil {
		return nil, err
	}
	keys, err := c.changingKeys()
	if err != nil {
		return nil, err
	}
	a, err := keys.UpdateAlias(onAlias, onOld, onNew, c.account(), r.GetAliasName(), t.key.ID)
	if err != nil {
		return nil, err
	}
	return kmsv1.UpdateAliasResponse_builder{AliasArn: a.ARN, KeyId: t.key.ARN}.Build(), nil
}

func checkDeleteAlias(*violations, *kmsv1.DeleteAliasRequest) {}

func deleteAlias(c *call, r *kmsv1.DeleteAliasRequest) (*kmsv1.DeleteAliasResponse, error) {
	if err := keystore.CheckAliasName(r.GetAliasName()); err != nil {
		return nil, err
	}
	onAlias, err := c.onAlias(authz.KMSDeleteAlias, r.GetAliasName())
	if err != nil {
		return nil, err
	}
	again, err := c.repeats(c.account())
	if err != nil {
		return nil, err
	}
	var onKey authz.Grant
	if _, there := c.keys.Alias(c.account(), r.GetAliasName()); there || !again {
		if onKey, err = c.onTarget(authz.KMSDeleteAlias, r.GetAliasName()); err != nil {
			return nil, err
		}
	}
	keys, err := c.changingKeys()
	if err != nil {
		return nil, err
	}
	if err := keys.DeleteAlias(onAlias, onKey, c.account(), r.GetAliasName()); err != nil {
		return nil, err
	}
	return kmsv1.DeleteAliasResponse_builder{AliasArn: c.s.place.AliasARN(c.account(), r.GetAliasName())}.Build(), nil
}

func checkListAliases(v *violations, r *kmsv1.ListAliasesRequest) {
	v.limit("limit", r.GetLimit(), largestAliasPage)
}

func listAliases(c *call, r *kmsv1.ListAliasesRequest) (*kmsv1.ListAliasesResponse, error) {
	if _, err := c.allow(authz.KMSListAliases, nothing); err != nil {
		return nil, err
	}
	var of *keystore.Key
	scope := ""
	if r.GetKeyId() != "" {
		t, err := c.byID("key_id", r.GetKeyId())
		if err != nil {
			return nil, err
		}
		if t.key == nil || t.ref.Account != c.account() {
			return nil, keystore.ErrNotFound
		}
		of, scope = t.key, t.key.ARN
	}
	after, err := c.position(scope, r.GetMarker())
	if err != nil {
		return nil, err
	}
	page, more := c.keys.Aliases(c.account(), of, after, pageSize(r.GetLimit(), usualAliasPage))
	out := kmsv1.ListAliasesResponse_builder{Truncated: more}
	for _, a := range page {
		out.Aliases = append(out.Aliases, kmsv1.AliasListEntry_builder{
			AliasName: a.Name, AliasArn: a.ARN, TargetKeyId: a.Target.String(),
			CreationDate: timestamppb.New(a.Created), LastUpdatedDate: timestamppb.New(a.Updated),
		}.Build())
	}
	if more {
		out.NextMarker = c.marker(scope, page[len(page)-1].Name)
	}
	return out.Build(), nil
}
