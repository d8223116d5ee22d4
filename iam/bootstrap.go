package iam

import (
	"errors"
	"fmt"

	"github.com/kmsd/kmsd/storage"
)

// Bootstrap makes, in a transaction on a store that holds no account: the organization, the management account with its
// root user, the root user's access key, and the certificate authority. The account's id is 12 digits; if it is empty, a
// random one is made, which Snapshot.ManagementAccount tells. The access key's secret is told here and never
// again; it is of use only once the transaction has been committed. On a store that has an account the error
// matches ErrEntityExists.
func Bootstrap(tx *storage.Tx, id string) (AccessKey, error) {
	if id == "" {
		var err error
		if id, err = newAccountID(); err != nil {
			return AccessKey{}, fmt.Errorf("making an account id: %w", err)
		}
	}
	if !accountID.MatchString(id) {
		return AccessKey{}, invalid("AccountId", "must be 12 digits")
	}
	if err := refuseAccounts(tx); err != nil {
		return AccessKey{}, err
	}
	key := newAccessKey(&Snapshot{})
	authority, err := newAuthority(id)
	if err != nil {
		return AccessKey{}, fmt.Errorf("making the certificate authority: %w", err)
	}
	account := accountRecord{Version: recordVersion, ID: id, Management: true, Created: key.created}
	err = errors.Join(
		tx.Put(kindAccount, id, encodeJSON(account)),
		tx.Put(kindAccessKey, join(id, id, key.id), encodeAccessKey(key)),
		tx.Put(kindAuthority, authorityPath, authority),
		foundOrganization(tx, account),
	)
	if err != nil {
		return AccessKey{}, fmt.Errorf("putting the management account: %w", err)
	}
	return key.told(), nil
}

func refuseAccounts(tx *storage.Tx) error {
	return tx.Walk(kindAccount, "", func(string, []byte) error {
		return fmt.Errorf("%w: the store has an account", ErrEntityExists)
	})
}
