-- Nobody reads what a browser calls itself.
ALTER TABLE account_sessions DROP COLUMN agent;
