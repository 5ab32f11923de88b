-- What a partner may ask of its own callers, beside the contract's plain signature.
ALTER TABLE partner
    -- the weakest signature that lets a caller in
    ADD COLUMN signing  text   NOT NULL DEFAULT 'v1' CHECK (signing IN ('v1', 'v2', 'rfc9421')),
    -- where calls may come from; empty: anywhere
    ADD COLUMN networks cidr[] NOT NULL DEFAULT '{}' CHECK (cardinality(networks) <= 64);
-- ;;
ALTER TABLE credential
    ALTER COLUMN secret_sealed DROP NOT NULL,
    -- Ed25519: with it the desk holds nothing that could sign for the partner
    ADD COLUMN public_key bytea  CHECK (octet_length(public_key) = 32),
    ADD COLUMN label      text   NOT NULL DEFAULT '' CHECK (length(label) <= 64),
    ADD COLUMN scopes     text[] NOT NULL DEFAULT '{read,trade,admin}'
        CHECK (cardinality(scopes) > 0 AND scopes <@ '{read,trade,admin}'),
    ADD COLUMN expires_ms bigint,
    ADD CONSTRAINT credential_has_one_key CHECK ((secret_sealed IS NULL) <> (public_key IS NULL));
CREATE INDEX credential_partner ON credential (partner_id);
