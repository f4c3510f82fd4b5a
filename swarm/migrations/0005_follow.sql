-- What is published and follows what is at its path is marked as other holdings are.
UPDATE swarm_holdings SET follow = 1 WHERE own AND content IN (SELECT content FROM swarm_publications WHERE follow);
