-- Why a holding is paused, as a sentence; '' where the person paused it.
ALTER TABLE swarm_holdings ADD COLUMN reason TEXT NOT NULL DEFAULT '';
