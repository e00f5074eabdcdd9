// Finds the data sets that were uploaded twice with DuckDB, and prints each pair as a line "customer a b shared".
//
//     node pairs.js FILE.csv
//
// The file has the columns customer, data set, GUID, as PostgreSQL's COPY writes them. The query is the self-join of the tests, by which
// GUIDs of three customers or more are a template's.
import { DuckDBInstance } from '@duckdb/node-api';

const instance = await DuckDBInstance.create(':memory:');
const db = await instance.connect();
await db.run(`CREATE TABLE entity_row AS SELECT * FROM read_csv('${process.argv[2].replaceAll("'", "''")}', header = false, auto_detect = false,
  columns = {'customer_id': 'BIGINT', 'database_id': 'BIGINT', 'guid': 'UUID'})`);
const found = await db.runAndReadAll(`SELECT a.customer_id, a.database_id, b.database_id, count(*)
  FROM entity_row a JOIN entity_row b ON b.customer_id = a.customer_id AND b.guid = a.guid AND b.database_id > a.database_id
  WHERE a.guid NOT IN (SELECT guid FROM entity_row GROUP BY guid HAVING count(DISTINCT customer_id) >= 3)
  GROUP BY 1, 2, 3 HAVING count(*) >= 25 ORDER BY 1, 2, 3`);
for (const row of found.getRows()) console.log(row.join(' '));
