"""The set operations of curation, each written once, in GoogleSQL: which rows go, why, and for which other row.

All work on three tables: `prepared` (a row of the source each, as `prepare.py` describes it; never changed),
`remaining` (the rows that are still there) and `reference` (texts of elsewhere: earlier versions, benchmarks). Each
selects `row_number`, `operation`, `reason`, `related_number` (the row that it repeats or contradicts) and
`related_row_id` (the same where that row is in `reference`).
"""

NOTHING_REMOVED = """
SELECT row_number, '' AS operation, '' AS reason, row_number AS related_number, row_id AS related_row_id
FROM prepared WHERE row_number < 0
"""

# `remaining` to begin with: the split of the source, or that of a hash, or of time. A group is on one side only.
SPLIT_OF_SOURCE = """
SELECT row_number, split, label, text_fingerprint, written_fingerprint, group_key FROM prepared
"""
SPLIT_BY_HASH = """
SELECT row_number,
  IF(TO_HEX(MD5(CONCAT(@split_seed, ':', IFNULL(group_key, text_fingerprint)))) < @test_share, 'test', 'train')
    AS split,
  label, text_fingerprint, written_fingerprint, group_key
FROM prepared
"""
TIME_OF_ROW = """
SELECT event_time FROM (SELECT event_time, ROW_NUMBER() OVER (ORDER BY event_time) AS place FROM prepared)
WHERE place = @place
"""
SPLIT_BY_TIME = """
SELECT row_number, IF(event_time >= @test_from, 'test', 'train') AS split,
  label, text_fingerprint, written_fingerprint, group_key
FROM prepared
"""

UNUSABLE = """
SELECT row_number,
  CASE WHEN text_characters = 0 THEN 'empty_texts'
    WHEN text_characters < @minimum_characters THEN 'too_short'
    WHEN text_characters > @maximum_characters THEN 'too_long'
    ELSE 'other_languages' END AS operation,
  CASE WHEN text_characters = 0 THEN 'no text after cleaning'
    WHEN text_characters < @minimum_characters THEN
      CONCAT(CAST(text_characters AS STRING), ' characters, minimum ', CAST(@minimum_characters AS STRING))
    WHEN text_characters > @maximum_characters THEN
      CONCAT(CAST(text_characters AS STRING), ' characters, maximum ', CAST(@maximum_characters AS STRING))
    ELSE CONCAT('language ', text_language, ' with probability ',
      CAST(CAST(FLOOR(language_probability * 100) AS INT64) AS STRING), ' %') END AS reason,
  CAST(NULL AS INT64) AS related_number, CAST(NULL AS STRING) AS related_row_id
FROM prepared
WHERE text_characters < @minimum_characters OR text_characters > @maximum_characters OR text_characters = 0
  OR (@languages <> '' AND language_probability >= 0.5 AND NOT @languages LIKE CONCAT('% ', text_language, ' %'))
"""

STRADDLING_GROUPS = """
SELECT r.row_number, 'straddling_groups' AS operation, CONCAT('the group ', r.group_key, ' is in train') AS reason,
  t.first_number AS related_number, CAST(NULL AS STRING) AS related_row_id
FROM remaining AS r JOIN (
  SELECT group_key, MIN(row_number) AS first_number FROM remaining
  WHERE split = 'train' AND group_key IS NOT NULL GROUP BY group_key
) AS t ON r.group_key = t.group_key
WHERE r.split = 'test'
"""

# The texts that occur more than once in a split. The next two operations begin with it.
REPEATED = """
SELECT split, text_fingerprint, MIN(row_number) AS first_number, COUNT(*) AS times FROM remaining
GROUP BY split, text_fingerprint HAVING COUNT(*) > 1
"""
# One text, several labels: rows go that contradict the strict majority; without one (or if none is wanted) all go.
LABEL_CONFLICTS = """
WITH labelled AS (
  SELECT r.split, r.text_fingerprint, r.label, COUNT(*) AS times, MIN(r.row_number) AS first_number
  FROM remaining AS r JOIN repeated AS t ON r.split = t.split AND r.text_fingerprint = t.text_fingerprint
  GROUP BY r.split, r.text_fingerprint, r.label
), disputed AS (
  SELECT split, text_fingerprint, SUM(times) AS times, MAX(times) AS most FROM labelled
  GROUP BY split, text_fingerprint HAVING COUNT(*) > 1
), judged AS (
  SELECT l.split, l.text_fingerprint, l.label, l.times, l.first_number, d.times AS all_times,
    @keep_majority AND l.times = d.most AND d.most * 2 > d.times AS is_kept,
    @keep_majority AND d.most * 2 > d.times AS is_decided
  FROM labelled AS l JOIN disputed AS d ON l.split = d.split AND l.text_fingerprint = d.text_fingerprint
), opposed AS (
  SELECT l.split, l.text_fingerprint, l.label, o.label AS other_label, o.times AS other_times, o.first_number,
    l.all_times, l.is_decided,
    ROW_NUMBER() OVER (PARTITION BY l.split, l.text_fingerprint, l.label ORDER BY o.times DESC, o.first_number) AS place
  FROM judged AS l JOIN judged AS o
    ON l.split = o.split AND l.text_fingerprint = o.text_fingerprint AND l.label <> o.label
  WHERE NOT l.is_kept
)
SELECT r.row_number, 'label_conflicts' AS operation,
  CONCAT('its label is ', r.label, ', but ', CAST(o.other_times AS STRING), ' of the ', CAST(o.all_times AS STRING),
    ' rows with this text have ', o.other_label, IF(o.is_decided, '', '; none of them is kept')) AS reason,
  o.first_number AS related_number, CAST(NULL AS STRING) AS related_row_id
FROM remaining AS r JOIN opposed AS o
  ON r.split = o.split AND r.text_fingerprint = o.text_fingerprint AND r.label = o.label
WHERE o.place = 1
"""
EXACT_DUPLICATES = """
SELECT r.row_number,
  IF(r.written_fingerprint = k.written_fingerprint, 'exact_duplicates', 'cleaned_duplicates') AS operation,
  CONCAT(IF(r.written_fingerprint = k.written_fingerprint, 'identical as written', 'identical after cleaning'),
    IF(r.label <> k.label, CONCAT('; its label is ', r.label, ', there ', k.label), '')) AS reason,
  t.first_number AS related_number, CAST(NULL AS STRING) AS related_row_id
FROM remaining AS r
JOIN repeated AS t ON r.split = t.split AND r.text_fingerprint = t.text_fingerprint
JOIN remaining AS k ON k.row_number = t.first_number
WHERE r.row_number <> t.first_number
"""

# Texts of elsewhere. `@kind` is "known" (all rows meet it) or "benchmark" (train rows do).
KNOWN_TEXTS = """
SELECT r.row_number, @operation AS operation,
  CONCAT('identical to a row of ', f.source, IF(r.label <> f.label,
    CONCAT('; its label is ', r.label, ', there ', f.label), '')) AS reason,
  CAST(NULL AS INT64) AS related_number, f.row_id AS related_row_id
FROM remaining AS r
JOIN (
  SELECT text_fingerprint, MIN(row_number) AS first_number FROM reference WHERE kind = @kind GROUP BY text_fingerprint
) AS t ON r.text_fingerprint = t.text_fingerprint
JOIN reference AS f ON f.row_number = t.first_number AND f.kind = @kind
WHERE @kind = 'known' OR r.split = 'train'
"""
TEXTS_AND_REFERENCE = """
SELECT 1 AS side, r.row_number, p.text_shingles FROM remaining AS r JOIN prepared AS p ON p.row_number = r.row_number
WHERE @kind = 'known' OR r.split = 'train'
UNION ALL SELECT 0 AS side, row_number, text_shingles FROM reference WHERE kind = @kind
"""
# After a search for near texts, whose table `near` has row_number, related_number and the percentage of similarity.
NEAR_KNOWN_TEXTS = """
SELECT r.row_number, @operation AS operation,
  CONCAT('similarity ', CAST(n.percent AS STRING), ' % to a row of ', f.source, IF(r.label <> f.label,
    CONCAT('; its label is ', r.label, ', there ', f.label), '')) AS reason,
  CAST(NULL AS INT64) AS related_number, f.row_id AS related_row_id
FROM near AS n
JOIN remaining AS r ON r.row_number = n.row_number
JOIN reference AS f ON f.row_number = n.related_number AND f.kind = @kind
"""
TRAIN_TEXTS = """
SELECT 2 AS side, r.row_number, p.text_shingles FROM remaining AS r JOIN prepared AS p ON p.row_number = r.row_number
WHERE r.split = 'train'
"""
TEST_AND_TRAIN_TEXTS = """
SELECT IF(r.split = 'test', 1, 0) AS side, r.row_number, p.text_shingles
FROM remaining AS r JOIN prepared AS p ON p.row_number = r.row_number
"""
NEAR_TEXTS = """
SELECT n.row_number, @operation AS operation,
  CONCAT('similarity ', CAST(n.percent AS STRING), ' %', IF(r.label <> k.label,
    CONCAT('; its label is ', r.label, ', there ', k.label), '')) AS reason,
  n.related_number, CAST(NULL AS STRING) AS related_row_id
FROM near AS n
JOIN remaining AS r ON r.row_number = n.row_number
JOIN remaining AS k ON k.row_number = n.related_number
"""
LEAKED_TEST_ROWS = """
SELECT r.row_number, 'leaked_test_rows' AS operation,
  CONCAT('identical after cleaning', IF(r.label <> k.label,
    CONCAT('; its label is ', r.label, ', there ', k.label), '')) AS reason,
  t.first_number AS related_number, CAST(NULL AS STRING) AS related_row_id
FROM remaining AS r
JOIN (
  SELECT text_fingerprint, MIN(row_number) AS first_number FROM remaining
  WHERE split = 'train' GROUP BY text_fingerprint
) AS t ON r.text_fingerprint = t.text_fingerprint
JOIN remaining AS k ON k.row_number = t.first_number
WHERE r.split = 'test'
"""
# Which rows of a frequent label go, a hash of the text decides: the same ones when other rows come or go.
CLASS_BALANCE = """
WITH counted AS (
  SELECT label, COUNT(*) AS label_rows FROM remaining WHERE split = 'train' GROUP BY label
), placed AS (
  SELECT r.row_number, r.label, c.label_rows,
    ROW_NUMBER() OVER (
      PARTITION BY r.label
      ORDER BY TO_HEX(MD5(CONCAT(@split_seed, ':balance:', r.text_fingerprint))), r.row_number
    ) AS place
  FROM remaining AS r JOIN counted AS c ON r.label = c.label
  WHERE r.split = 'train'
), smallest AS (SELECT MIN(label_rows) AS label_rows FROM counted)
SELECT p.row_number, 'class_balance' AS operation,
  CONCAT('the label ', p.label, ' has ', CAST(p.label_rows AS STRING), ' rows, the rarest ',
    CAST(s.label_rows AS STRING)) AS reason,
  CAST(NULL AS INT64) AS related_number, CAST(NULL AS STRING) AS related_row_id
FROM placed AS p CROSS JOIN smallest AS s
WHERE p.place * 10000 > @maximum_class_ratio * s.label_rows
"""

ADD_TO_REMOVED = """
SELECT row_number, operation, reason, related_number, related_row_id FROM removed
UNION ALL SELECT row_number, operation, reason, related_number, related_row_id FROM newly_removed
"""
REMAINING = """
SELECT r.row_number, r.split, r.label, r.text_fingerprint, r.written_fingerprint, r.group_key
FROM remaining AS r LEFT JOIN newly_removed AS n ON r.row_number = n.row_number
WHERE n.row_number IS NULL
"""
COUNT_REMOVED = "SELECT operation, COUNT(*) FROM removed GROUP BY operation"
COUNT_REMAINING = "SELECT split, COUNT(*) FROM remaining GROUP BY split"
COUNT_RELABELLED = """
SELECT COUNT(IF(p.label <> k.label, 1, NULL)) FROM removed AS m
JOIN prepared AS p ON p.row_number = m.row_number
JOIN prepared AS k ON k.row_number = m.related_number
WHERE m.operation <> 'label_conflicts'
"""
COUNT_CLUSTERS = """
SELECT COUNT(*), MAX(texts) FROM (
  SELECT related_number, COUNT(*) + 1 AS texts FROM removed WHERE operation = 'near_duplicates' GROUP BY related_number
)
"""
LEDGER = """
SELECT p.row_id, m.operation, m.reason, IFNULL(m.related_row_id, k.row_id) AS related_row_id
FROM removed AS m
JOIN prepared AS p ON p.row_number = m.row_number
LEFT JOIN prepared AS k ON k.row_number = m.related_number
ORDER BY m.row_number
"""
ROWS_OF_SPLIT = """
SELECT p.row_place, p.row_id, p.text, p.label FROM remaining AS r JOIN prepared AS p ON p.row_number = r.row_number
WHERE r.split = @split AND p.row_place >= @first AND p.row_place < @end ORDER BY p.row_place
"""
FINGERPRINTS = """
SELECT p.row_id, @version AS source, r.split, r.label, p.text_fingerprint, p.text_shingles
FROM remaining AS r JOIN prepared AS p ON p.row_number = r.row_number
ORDER BY r.row_number
"""

# In BigQuery earlier versions and the benchmark are tables: `known` as FINGERPRINTS made it, `benchmark` prepared as
# the rows were.
ALL_COLUMNS_OF_SPLIT = """
SELECT p.* EXCEPT (row_number, row_place, split, text_fingerprint, written_fingerprint, text_characters, text_language,
  language_probability, group_key, event_time, text_shingles)
FROM remaining AS r JOIN prepared AS p ON p.row_number = r.row_number
WHERE r.split = @split
"""
KNOWN_AND_ACCEPTED = """
SELECT row_id, source, split, label, text_fingerprint, text_shingles FROM known
UNION ALL SELECT row_id, source, split, label, text_fingerprint, text_shingles FROM accepted
"""
NO_REFERENCE = """
SELECT row_number, '' AS kind, row_id, '' AS source, label, text_fingerprint, text_shingles FROM prepared
WHERE row_number < 0
"""
REFERENCES = {
    "known": """
SELECT ROW_NUMBER() OVER (ORDER BY source, row_id) AS row_number, 'known' AS kind, row_id, source, label,
  text_fingerprint, text_shingles
FROM known
UNION ALL SELECT row_number, kind, row_id, source, label, text_fingerprint, text_shingles FROM reference
""",
    "benchmark": """
SELECT row_number, 'benchmark' AS kind, row_id, 'the benchmark' AS source, CAST(NULL AS STRING) AS label,
  text_fingerprint, text_shingles
FROM benchmark
UNION ALL SELECT row_number, kind, row_id, source, label, text_fingerprint, text_shingles FROM reference
""",
}
