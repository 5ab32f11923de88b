-- Letting callers in is a part of every signed call, so it is one round trip for many of them.
--
-- `credentials` and the two row versions (xmin: the transaction that wrote a row, so any change of
-- it shows) are what the process remembers of each holder; `holders` (1, 2, ... into those),
-- `nonces` and `weights` are the calls, in line. Charges count from the second `since` on.
-- Partners stay locked, in order, until the transaction ends: charges come one after the other,
-- in every process; inserts that merely refer to a partner do not wait.
--
-- Not `lasting`: the commit does not wait for the disk. If the server crashes within the next half
-- second, the nonces of calls that only read may be used again and their weight is forgiven.
--
-- Returns only those that are not let in: 'stale' (nothing was burnt), 'replay', or 'limit' (burnt,
-- not charged) with the budget and what of it is charged when.
CREATE FUNCTION admit(
    credentials uuid[], partner_rows xid[], credential_rows xid[],
    holders integer[], nonces text[], weights integer[], at_ms bigint, since bigint, lasting boolean
) RETURNS TABLE (
    call integer, verdict text, cap integer, taken integer, seconds bigint[], charged integer[]
) LANGUAGE plpgsql AS $$
DECLARE
    partners uuid[];
    caps     integer[];
    burnt    text[];
    mine     boolean[];
    budget   record;
    used     bigint;
BEGIN
    IF NOT lasting THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;

    SELECT array_agg(g.partner_id ORDER BY h.at), array_agg(g.weight_per_minute ORDER BY h.at)
      INTO partners, caps
      FROM generate_subscripts(credentials, 1) AS h (at)
      LEFT JOIN (
        SELECT k.at, p.id AS partner_id, p.weight_per_minute
          FROM unnest(credentials, partner_rows, credential_rows) WITH ORDINALITY
               AS k (credential_id, partner_row, credential_row, at)
          JOIN credential c ON c.id = k.credential_id AND c.enabled AND c.xmin = k.credential_row
          JOIN partner p ON p.id = c.partner_id AND p.enabled AND p.xmin = k.partner_row
         ORDER BY p.id FOR NO KEY UPDATE OF p
      ) AS g ON g.at = h.at;

    WITH new AS (
        INSERT INTO nonce AS n (partner_id, nonce, used_ms)
        SELECT partners[c.holder], c.nonce, at_ms
          FROM unnest(holders, nonces) AS c (holder, nonce) WHERE partners[c.holder] IS NOT NULL
            ON CONFLICT DO NOTHING RETURNING n.partner_id || n.nonce AS name
    )
    SELECT array_agg(name) INTO burnt FROM new;

    mine := array_fill(true, ARRAY[cardinality(nonces)]);
    IF cardinality(burnt) IS DISTINCT FROM cardinality(nonces) THEN
        FOR place IN 1 .. cardinality(nonces) LOOP
            call := place;
            verdict := CASE
                WHEN partners[holders[call]] IS NULL THEN 'stale'
                WHEN partners[holders[call]] || nonces[call] = ANY (burnt) THEN NULL
                ELSE 'replay' END;
            mine[call] := verdict IS NULL;
            IF verdict IS NOT NULL THEN
                RETURN NEXT;
            END IF;
            burnt := array_remove(burnt, partners[holders[call]] || nonces[call]);  -- once
        END LOOP;
    END IF;

    -- An own statement, an own snapshot: it sees what was charged while we waited for the lock.
    FOR budget IN
        SELECT partners[c.holder] AS partner_id, max(caps[c.holder]) AS cap,
               sum(c.weight) AS asked, array_agg(c.at::integer ORDER BY c.at) AS calls
          FROM unnest(holders, weights, mine) WITH ORDINALITY AS c (holder, weight, mine, at)
         WHERE c.mine GROUP BY 1 ORDER BY 1
    LOOP
        cap := budget.cap;
        SELECT coalesce(sum(w.weight), 0), array_agg(w.at_second), array_agg(w.weight)
          INTO used, seconds, charged FROM weight_charge w
         WHERE w.partner_id = budget.partner_id AND w.at_second >= since;
        taken := 0;
        IF used + budget.asked <= cap THEN
            taken := budget.asked;
        ELSE
            verdict := 'limit';
            FOREACH call IN ARRAY budget.calls LOOP
                IF used + taken + weights[call] <= cap THEN
                    taken := taken + weights[call];
                ELSE
                    RETURN NEXT;
                END IF;
            END LOOP;
        END IF;
        IF taken > 0 THEN
            INSERT INTO weight_charge AS w (partner_id, at_second, weight)
            VALUES (budget.partner_id, at_ms / 1000, taken)
                ON CONFLICT (partner_id, at_second) DO UPDATE SET weight = w.weight + excluded.weight;
        END IF;
    END LOOP;
END $$;
-- ;;
-- `admit` has locked the partner whose nonce it burns, and nobody deletes partners.
ALTER TABLE nonce DROP CONSTRAINT nonce_partner_id_fkey;
