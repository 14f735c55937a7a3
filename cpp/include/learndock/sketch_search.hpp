// SPDX-License-Identifier: Apache-2.0
//
// Searches among sketches: lower bounds of MMD^2 to many embeddings at a time, and guesses of it. A pass looks at the
// balls of all blocks, then into those alone that may hold what is wanted.
#pragma once

#include <cstdint>
#include <vector>

#include "learndock/parallel.hpp"
#include "learndock/sketch.hpp"

namespace learndock {

/// Several batches of sketches, and what is asked of them. A place is that of an embedding, counted through the
/// batches. `hidden` has, for each query, [total] nonzero where an embedding may not be returned, or null.
struct SketchSearch {
  const SketchMap& map;
  const std::vector<Sketches>& batches;
  const std::vector<const SketchQuery*>& queries;
  const std::vector<const std::uint8_t*>& hidden;
};

/// The lane of each embedding, from the embedding of each lane. Throws std::invalid_argument where not each is there
/// once.
std::vector<std::int32_t> lanes_of_order(const std::int32_t* order, Index count);

/// Lanes of the balls of all batches: how many bounds there are for one query.
Index ball_lanes_of(const std::vector<Sketches>& batches);

/// Places with the smallest guesses by the first stage, `count` for each query, ascending by (guess, place); -1 where
/// there are fewer. A guess of MMD^2 is ||c_P - c_Q||^2 + r_P^2 + r_Q^2 - 2 correlation r_P r_Q. Looked for in the
/// balls of the smallest guesses, as many of them as places are wanted: what lies in others may be missed. Leaves the
/// lower bounds of all balls in bounds [queries * ball_lanes_of], for sketches_within: the upper halves of their bits,
/// which are bounds too.
void promising_sketches(const SketchSearch& search, float correlation, Index count, ThreadTeam& team,
                        std::int16_t* bounds, Index* places);

/// Places of sketches, ascending, and their lower bounds by the first stage.
struct SketchesWithin {
  std::vector<Index> places;
  std::vector<float> bounds;
};

/// How many balls all queries together look into for what is within their reach.
Index balls_to_look_into(const SketchSearch& search, const std::int16_t* bounds, const float* reach);

/// Those whose lower bound is at most the query's reach, for each query.
std::vector<SketchesWithin> sketches_within(const SketchSearch& search, const std::int16_t* bounds, const float* reach,
                                            ThreadTeam& team);

/// ||c_P - c_Q||^2 by the coordinates of the first stage, for the lanes of one block.
void first_distances(const SketchMap& map, const Sketches& batch, const SketchQuery& query, Index block,
                     float* distances);

/// What the stages after the first, up to the given one, add to it for one lane.
float further_distance(const SketchMap& map, const Sketches& batch, const SketchQuery& query, Index stage, Index lane);

/// Lower bounds of MMD^2 and guesses of it, by the stages up to the given one, for chosen places.
void refined_bounds(const SketchMap& map, const std::vector<Sketches>& batches, const SketchQuery& query,
                    float correlation, Index stage, const Index* chosen, Index chosen_count, ThreadTeam& team,
                    float* bounds, float* guesses);

}  // namespace learndock
